"""Values that no run writes, in files that are JSON: every command that reads a run bears them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commanding import Command
from tests.running import Ended

RUN = "broken--template--20260101-1000-aaaa"
READING = (
    ("report", RUN, "--json"),
    ("explain", RUN, "--card"),
    ("runs", "list"),
    ("runs", "show", RUN),
    ("runs", "compare", RUN, "whole--", "--force"),
    ("report", RUN, "whole--", "--force", "-o", "both.html"),
)


@pytest.fixture
def broken(workplace: Path, small_run: Ended) -> Path:
    """One of two copies of a run; damage is done to it."""
    for name in (RUN, "whole--template--20260101-1001-bbbb"):
        shutil.copytree(small_run.run, workplace / "runs" / name, symlinks=True)
    return workplace / "runs" / RUN


def changed(*path: Any, to: str) -> Callable[[str], str]:
    """A JSON text with the value at ``path`` replaced by the text ``to``."""

    def change(text: str) -> str:
        value = json.loads(text)
        at = value
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = "HERE"
        return json.dumps(value).replace('"HERE"', to)

    return change


PARAMS = ("weights", "domains", "machine learning", "params")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("checkpoints/000004.json", changed(*PARAMS, "theta", 0, to="1e400")),
        ("checkpoints/000004.json", changed(*PARAMS, "theta", 0, to="1" + "0" * 400)),
        ("checkpoints/000004.json", changed(*PARAMS, "theta", to="[0.5]")),
        ("checkpoints/000004.json", changed("weights", "domains", to="{}")),
        ("run.json", changed("cost", "perhaps", "generate", to='""')),
        ("run.json", changed("heldout", "before", to='"x"')),
        ("run.json", changed("stopped", to="1")),
        ("run.json", changed("seconds", to="[]")),
        ("inputs.json", changed("heldout", to="1")),
        ("heldout/000004-final.json", changed("rewards", to=f'{{"e001": {2**70}, "e002": 1}}')),
        ("rollouts.jsonl", lambda text: text.replace('"update":4', '"update":[4]')),
        ("metrics.jsonl", lambda text: "[" * 100_000 + "\n" + text),
        ("metrics.jsonl", lambda text: text + '{"step": "x", "alarm": 1}\n'),
    ],
)  # fmt: skip
def test_garbage_is_left_out_or_refused_in_words(
    command: Command, broken: Path, file: str, change: Callable[[str], str]
) -> None:
    text = (broken / file).read_text("utf-8")
    (broken / file).write_text(change(text), "utf-8")
    assert (broken / file).read_text("utf-8") != text

    for arguments in READING:
        answer = command(*arguments)
        assert answer.code in (0, 2), answer.err
        assert answer.code == 0 or answer.err.startswith("error: ")
        if arguments == ("runs", "list"):
            assert answer.code == 0
            assert "whole--" in answer.out


def test_behind_a_checkpoint_beyond_the_range_of_floats_stands_the_one_before(
    command: Command, broken: Path
) -> None:
    newest = broken / "checkpoints" / "000004.json"
    newest.write_text(changed(*PARAMS, "phi", 0, to="-1e400")(newest.read_text("utf-8")), "utf-8")

    answer = command("explain", RUN, "--json")

    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["step"] == 3


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.json"])
def test_a_folder_in_the_place_of_a_file_is_told_of(
    command: Command, broken: Path, name: str
) -> None:
    (broken / name).unlink()
    (broken / name).mkdir()

    answer = command("report", RUN)

    assert answer.code in (0, 2)
    assert answer.code == 0 or "Is a directory" in answer.err
