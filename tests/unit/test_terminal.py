"""What is printed: harmless on a terminal, exact in a pipe, in any encoding, and never the end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import EnvironmentNotReady
from shared.terminal import Printed, reader_left, styled, visible

HOSTILE = "\x1b]0;title\x07 \x1b[2J \x9b31m a\rb \u202eevil\u2069 \x00 \x08 \ud800"
PROGRAM = """
from shared.terminal import print_harmlessly
import click, sys
print_harmlessly()
click.echo("▲ 0.5 é")
click.echo("▁▂ ␛", err=True)
print("plain \\ud800")
"""


@pytest.fixture
def terminal() -> Iterator[tuple[Printed, int]]:
    ours, theirs = os.openpty()
    with Printed(open(theirs, "wb"), encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
        yield stream, ours
    os.close(ours)


def test_nothing_that_a_terminal_would_obey_is_left() -> None:
    shown = visible(HOSTILE)

    assert all(c.isprintable() for c in shown)
    assert shown.startswith("␛]0;title␇ ␛[2J �31m a␍b ⟨U+202E⟩evil⟨U+2069⟩ ␀ ␈ ?")
    assert visible("שלום\tمرحبا\n👩‍👩‍👧 é") == "שלום\tمرحبا\n👩‍👩‍👧 é"


def test_a_terminal_is_shown_pictures_and_what_draws_may_draw(
    terminal: tuple[Printed, int],
) -> None:
    stream, other_end = terminal

    stream.write("\x1b[31m\x07")
    styled(stream).write("\x1b[1m")
    stream.flush()

    assert os.read(other_end, 100).decode() == "␛[31m␇\x1b[1m"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "shift_jis", "utf-8"])
def test_what_an_encoding_lacks_is_replaced(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )

    assert done.stdout.decode(encoding).splitlines() == [
        "▲ 0.5 é".encode(encoding, "replace").decode(encoding),
        "plain ?",
    ]
    assert done.stderr.decode(encoding) == "▁▂ ␛\n".encode(encoding, "replace").decode(encoding)


def test_a_pipe_gets_every_character_as_it_is(tmp_path: Path) -> None:
    with Printed((tmp_path / "out").open("wb"), encoding="utf-8") as stream:
        stream.write("\x1b]0;x\x07\u202e")

    assert (tmp_path / "out").read_text(encoding="utf-8") == "\x1b]0;x\x07\u202e"


def test_a_reader_that_leaves_is_noted_and_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with Printed(os.fdopen(writing, "wb"), encoding="utf-8") as stream:
        for _ in range(3):
            stream.write("a line\n")
            stream.flush()
        assert reader_left(stream)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_once() -> None:
    with Printed(Path("/dev/full").open("wb"), encoding="utf-8") as stream:
        stream.write("a line\n")
        with pytest.raises(EnvironmentNotReady, match="cannot be written: No space left"):
            stream.flush()
        stream.flush()


@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_that_was_closed_before_takes_everything_and_its_descriptor(
    closed: int, tmp_path: Path
) -> None:
    program = """
import os, subprocess, sys
from shared.terminal import print_harmlessly, reader_left
print_harmlessly()
print("out", flush=True)
print("err", file=sys.stderr, flush=True)
with open(sys.argv[1], "w") as mine:
    subprocess.run(["echo", "child"], stdout=None)
    subprocess.run(["sh", "-c", "echo child >&2"])
assert reader_left(sys.stdout if sys.argv[2] == "1" else sys.stderr)
"""
    mine = tmp_path / "mine"
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$@" {closed}>&-',
            "sh",
            sys.executable,
            "-c",
            program,
            mine,
            str(closed),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    printed = {1: ("", "err\nchild\n"), 2: ("out\nchild\n", "")}[closed]
    assert (done.returncode, done.stdout, done.stderr) == (0, *printed)
    assert mine.read_text() == ""
