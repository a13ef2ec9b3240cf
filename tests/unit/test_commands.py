"""The table of commands, their help, hints at what was meant, and the Tab key."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from orchestrator.cli import cli
from orchestrator.cli.commands import SECTIONS, Entry
from orchestrator.cli.completion import INSTALL
from orchestrator.cli.lazy import LazyGroup
from tests.command_reference import FILE, every_command, reference
from tests.commanding import Command
from tests.running import ORCHESTRATOR

ENTRIES = [entry for entries in SECTIONS.values() for entry in entries]
#: Terminal that help is written for.
LINES, COLUMNS = 24, 100
#: Those with more to say than a screen: all commands, and all flags of a run.
LONGER = {"orchestrator": 40, "orchestrator run": 32}
LEAVES = [path for path, command in every_command() if not isinstance(command, click.Group)]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_table_says_of_each_command_what_the_command_says_of_itself(entry: Entry) -> None:
    command = cli.get_command(click.Context(cli), entry.name)

    assert command is not None
    assert command.name == entry.name
    assert command.get_short_help_str(200).rstrip(".") == entry.help.rstrip(".")


def test_each_command_stands_in_the_help_under_its_heading(command: Command) -> None:
    shown = command("--help").out

    for heading, entries in SECTIONS.items():
        part = shown.partition(f"\n{heading}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines()] == [entry.name for entry in entries]


def test_a_command_without_a_section_stands_under_other() -> None:
    @click.command()
    def stray() -> None:
        """Belong nowhere."""

    group = LazyGroup("group", sections={"Train": (ENTRIES[0],)})
    group.add_command(stray)

    shown = group.get_help(click.Context(group))

    assert "\nOther:\n  stray  Belong nowhere." in shown


def test_the_bare_command_is_its_help(command: Command) -> None:
    assert command() == command("--help")
    assert command().code == 0


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("rnu",), "'run'"),
        (("explian", "latest"), "'explain'"),
        (("runs", "lst"), "'list'"),
        (("run", "--stesp=3"), "'--steps'"),
        (("data", "check", "x.jsonl", "--domian=y"), "'--domain'"),
    ],
)
def test_what_is_mistyped_is_answered_with_what_was_meant(
    command: Command, typed: tuple[str, ...], meant: str
) -> None:
    answer = command(*typed)

    assert answer.code == 2
    assert "Did you mean" in answer.err
    assert meant in answer.err


@pytest.mark.parametrize(("path", "each"), every_command(), ids=lambda value: str(value))
def test_help_fits_a_screen(path: str, each: click.Command, command: Command) -> None:
    lines = command(*path.split()[1:], "--help").out.splitlines()

    assert len(lines) <= LONGER.get(path, LINES)
    assert max(map(len, lines)) <= COLUMNS


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_json(path: str) -> None:
    each = dict(every_command())[path]

    assert "--json" in {flag for param in each.params for flag in param.opts}


def test_the_reference_of_the_commands_is_what_they_say() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), (
        "docs/commands.md is not what the commands say; write it again:"
        " python -m tests.command_reference"
    )


@pytest.fixture
def folder_with_runs(tmp_path: Path) -> Path:
    for name in ("b--m--20260101-1000-aaaa", "a--m--20260102-1000-bbbb"):
        for mark in ("checkpoints", "inputs", "logs"):
            (tmp_path / "runs" / name / mark).mkdir(parents=True)
    (tmp_path / "runs" / "latest").symlink_to("a--m--20260102-1000-bbbb")
    return tmp_path


def completed(folder: Path, words: str, incomplete: str) -> tuple[list[str], set[str]]:
    """What bash is offered, and the modules that were loaded to say it."""
    code = (
        "import sys; from orchestrator.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('loaded', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    variables = {
        "COMP_WORDS": f"orchestrator {words} {incomplete}",
        "COMP_CWORD": str(len(words.split()) + 1),
        "_ORCHESTRATOR_COMPLETE": "bash_complete",
    }
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    offered = [line.partition(",")[2] for line in ended.stdout.splitlines()]
    return offered, set(ended.stderr.rpartition("loaded")[2].split())


@pytest.mark.parametrize(
    ("words", "incomplete", "offered"),
    [
        ("", "exp", ["explain", "export"]),
        ("runs", "s", ["show"]),
        ("explain", "", ["latest", "a--m--20260102-1000-bbbb", "b--m--20260101-1000-aaaa"]),
        ("runs compare a--m", "b", ["b--m--20260101-1000-aaaa"]),
        ("run --resume", "aaaa", ["b--m--20260101-1000-aaaa"]),
        ("run", "--res", ["--resume"]),
    ],
)
def test_the_tab_key_completes_and_loads_nothing_heavy(
    folder_with_runs: Path, words: str, incomplete: str, offered: list[str]
) -> None:
    found, loaded = completed(folder_with_runs, words, incomplete)

    assert found == offered
    assert loaded & {"celery", "numpy", "pydantic", "redis", "rich"} == set()


@pytest.mark.parametrize("shell", INSTALL)
def test_the_script_of_a_shell_asks_this_command(command: Command, shell: str) -> None:
    answer = command("completion", shell)

    assert answer.code == 0
    assert "_ORCHESTRATOR_COMPLETE" in answer.out
    assert f"{shell}_complete" in answer.out


def test_bash_itself_completes_by_the_script(folder_with_runs: Path) -> None:
    script = (
        'eval "$(orchestrator completion bash)"; COMP_WORDS=(orchestrator runs show b);'
        " COMP_CWORD=3; _orchestrator_completion orchestrator; echo ${COMPREPLY[@]}"
    )

    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=folder_with_runs,
        env={**os.environ, "PATH": f"{ORCHESTRATOR.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.split() == ["b--m--20260101-1000-aaaa"]
