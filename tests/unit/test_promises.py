"""What the pages promise, sentence by sentence, with the tests that show it: tests/promises.toml.

A sentence with a word that promises (`PROMISES`) stands in the table of its page, word for word:

    "A failed call is missing from its group, never a 0." = ["unit/test_x.py::test_y"]
    "What cannot run in them:" = "the head of a list"        # why it promises nothing

Whoever changes such a sentence changes its line there, and sees which tests must still show it.
Pages that are generated, and those that only report measurements, are left out.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import pages
from tests.running import ROOT

TABLE = ROOT / "tests" / "promises.toml"
LEFT_OUT = {"api.md", "commands.md", "config.md", "learning.md", "performance.md"}
PROMISES = re.compile(
    r"\b(always|at most|bit for bit|cannot|each (?:answer|call|rollout|run|step)|exactly"
    r"|every (?:answer|call|prompt|request|reward|rollout|run|step|worker)|guarantee\w*|holds? for"
    r"|(?:is|are) kept|never|no one|nobody|nothing|nowhere|once each|only once"
    r"|same (?:answers?|bytes|draws|policy|seed)|twice|undisturbed|whatever|within \d+ s"
    r"|without exception)\b",
    re.IGNORECASE,
)
BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#.*$", re.MULTILINE)
#: Paragraphs, items of a list and rows of a table are read apart.
PARTS = re.compile(r"\n\s*\n|\n(?=\s*[-*|] ?)|\n(?=\d+\. )")
SENTENCES = re.compile(r"(?<=[.:;?!]) +(?=[A-Z`\[*])")


def promised(page: Path) -> list[str]:
    """The sentences of a page that hold a word that promises, with single blanks."""
    text = HEADING.sub("\n", BLOCK.sub("\n", page.read_text(encoding="utf-8")))
    parts = (" ".join(part.split()) for part in PARTS.split(text))
    sentences = (sentence for part in parts for sentence in SENTENCES.split(part))
    return [sentence for sentence in sentences if PROMISES.search(sentence)]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def listed() -> dict[str, dict[str, list[str] | str]]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def functions_of(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name


@pytest.mark.parametrize("page", [p for p in pages() if p.name not in LEFT_OUT], ids=name)
def test_every_promise_of_a_page_is_listed_and_stands_there_word_for_word(page: Path) -> None:
    said, kept = promised(page), listed().get(name(page), {})

    missing = [sentence for sentence in said if sentence not in kept]
    gone = [sentence for sentence in kept if sentence not in said]
    assert (missing, gone) == ([], []), f"not in {TABLE.name}, and no longer on the page"


def test_every_promise_names_tests_that_exist_or_says_why_it_is_none() -> None:
    named = {each for table in listed().values() for shown in table.values() for each in shown
             if isinstance(shown, list)}  # fmt: skip
    files = {each.partition("::")[0] for each in named}
    there = {f"{file}::{test}" for file in files for test in functions_of(ROOT / "tests" / file)}

    assert named - there == set()
    assert all(shown for table in listed().values() for shown in table.values())


def test_every_page_of_the_table_is_a_page() -> None:
    assert set(listed()) <= {name(page) for page in pages()}
