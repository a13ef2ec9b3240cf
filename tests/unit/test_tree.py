"""The README's annotated tree is the disk, and files stay small enough to read.

The tree is the README's one fenced block opened with ```tree. One entry per line: two spaces of
indentation per level, a name (folders end with "/"), at least two spaces, a comment:

    orchestrator/     data -> action -> prompt -> ... -> weights
      run.py          the training loop and little else
      cli/            one file per command family
        runs.py       runs list, show, compare, rm
    tests/            what is promised, checked
      unit/           milliseconds, no server

Required: every *.py, *.toml and *.lua of the packages with the folders that hold them, every entry
of the top level, every folder of tests. Not listed: __init__.py (the folder's line speaks for it)
and tests/__init__.py. Allowed: any other file that exists.
"""

import ast
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("orchestrator", "worker", "shared")
TOP_LEVEL = {
    ".ci",
    ".dockerignore",
    ".env.example",
    ".gitignore",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints.txt",
    "deploy",
    "docs",
    "docker-compose.yml",
    "locks",
    "orchestrator",
    "pyproject.toml",
    "shared",
    "tests",
    "worker",
}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}
TREE_LINE = re.compile(
    r"^(?P<indent>(?:  )*)(?P<name>\S+?)(?P<folder>/?)(?:  +(?P<comment>\S.*))?$"
)


class Entry(NamedTuple):
    path: str
    comment: str


def git_files(*options: str) -> list[str] | None:
    """Paths that git lists; None outside a git checkout."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", *options],
            cwd=ROOT,
            capture_output=True,
            check=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return [path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()]


def files_on_disk() -> list[str]:
    """The packages' and tests' files; those not yet added to git count, ignored ones do not."""
    listed = git_files("--cached", "--others", "--exclude-standard", "--", *PACKAGES, "tests")
    if listed is not None:
        return listed
    found = []
    for top in (*PACKAGES, "tests"):
        for folder, folders, names in os.walk(ROOT / top):
            folders[:] = [name for name in folders if name != "__pycache__"]
            found += [(Path(folder) / name).relative_to(ROOT).as_posix() for name in names]
    return found


def folders_of(paths: list[str]) -> set[str]:
    parents = {parent.as_posix() for path in paths for parent in PurePosixPath(path).parents}
    return parents - {"."}


def python_files() -> list[str]:
    return sorted(path for path in files_on_disk() if path.endswith(".py"))


def readme_tree() -> list[Entry]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```tree\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1, f"README.md needs one block opened with ```tree, has {len(blocks)}"
    return list(parsed(blocks[0]))


def parsed(tree: str) -> Iterator[Entry]:
    folders: list[str] = []
    for line in filter(str.strip, tree.splitlines()):
        match = TREE_LINE.match(line)
        assert match, f"not `name  comment` with an indentation of two spaces per level: {line!r}"
        depth = len(match["indent"]) // 2
        assert depth <= len(folders), f"indented deeper than its folder: {line!r}"
        folders[depth:] = [match["name"]] if match["folder"] else []
        path = "/".join(folders if match["folder"] else [*folders, match["name"]])
        assert (ROOT / path).is_dir() == bool(match["folder"]), (
            f"folders end with a slash: {line!r}"
        )
        yield Entry(path, match["comment"] or "")


def wanted_in_tree() -> set[str]:
    files = files_on_disk()
    ours = [path for path in files if path.startswith(tuple(f"{name}/" for name in PACKAGES))]
    shown = [
        path
        for path in ours
        if path.endswith((".py", ".toml", ".lua")) and not path.endswith("__init__.py")
    ]
    tests = [path for path in files if path.startswith("tests/")]
    return {*shown, *folders_of(shown), *folders_of(tests), *TOP_LEVEL}


def test_every_file_has_one_line_in_the_readmes_tree() -> None:
    count = Counter(entry.path for entry in readme_tree())

    assert sorted(wanted_in_tree() - set(count)) == []
    assert [path for path, times in count.items() if times > 1] == []


def test_the_readmes_tree_lists_nothing_that_does_not_exist() -> None:
    assert [entry.path for entry in readme_tree() if not (ROOT / entry.path).exists()] == []


def test_every_line_of_the_readmes_tree_says_what_the_file_does() -> None:
    assert [entry.path for entry in readme_tree() if not entry.comment] == []


def test_the_top_level_holds_only_what_is_allowed() -> None:
    tracked = git_files("--cached")
    if tracked is None:
        pytest.skip("not a git checkout: cannot tell the project's files from its user's")

    assert {path.split("/")[0] for path in tracked} - TOP_LEVEL == set()


def test_no_file_is_too_long_to_read() -> None:
    lengths = {
        path: len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in files_on_disk()
        if path.endswith((".py", ".lua"))
    }

    assert {path: n for path, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_too_long_to_read() -> None:
    too_long = {}
    for path in python_files():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long[f"{path}:{node.name}"] = lines

    assert too_long == {}


def test_no_name_says_nothing() -> None:
    paths = files_on_disk()
    names = [*paths, *folders_of(paths)]

    assert [path for path in names if PurePosixPath(path).stem in SAYS_NOTHING] == []


def test_every_package_folder_with_code_is_a_package() -> None:
    folders = {str(PurePosixPath(path).parent) for path in python_files()}
    ours = {folder for folder in folders if folder.split("/")[0] in PACKAGES}

    assert [folder for folder in sorted(ours) if not (ROOT / folder / "__init__.py").exists()] == []
