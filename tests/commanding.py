"""The command in this process: as quick as many rows need it."""

import io
import sys
from typing import NamedTuple

import pytest

from orchestrator.cli import main


class Answer(NamedTuple):
    """How a command in this process ended."""

    code: int
    out: str
    err: str


class Command:
    """Calls the entry point of the console script."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["orchestrator", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return Answer(code, *self._capsys.readouterr())
