"""``orchestrator eval`` and ``ab`` in this process, on runs that need not be trained first."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from orchestrator.cli import cli
from orchestrator.embedded import connect
from orchestrator.standin import DEFAULT_KEY, Running
from shared.errors import ConceptGrpoError
from tests.running import Ended
from tests.working import worker_process

#: How the stand-in is set before each test.
CALM = {"latency_ms": 5, "preference": {}, "noise": 0.05, "position_bias": 0.0}
#: Prompts that no run of the tests was trained on.
TEXTS = [f"Explain quantum computing to reader {number}." for number in range(8)]


class Said(NamedTuple):
    """How a command ended in this process."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Bench(NamedTuple):
    """A folder with runs, and an engine whose worker asks the stand-in."""

    folder: Path
    standin: Running
    url: str
    capsys: pytest.CaptureFixture[str]

    def say(self, *words: str, redis: bool = True) -> Said:
        """``orchestrator WORDS`` to its end."""
        self.capsys.readouterr()
        code = 0
        try:
            cli([*words, *([f"--redis={self.url}"] if redis else [])], standalone_mode=False)
        except ConceptGrpoError as error:
            code = error.exit_code
            click.echo(f"error: {error}", err=True)
        except click.UsageError as error:
            code = error.exit_code
            click.echo(f"error: {error.format_message()}", err=True)
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *self.capsys.readouterr())

    def billed(self) -> int:
        """What the stand-in has billed, in 1e-9 USD."""
        return int(self.standin.control("ledger?generations=0")["total_nano_usd"])

    def calls(self) -> int:
        """Requests that reached the stand-in."""
        return int(self.standin.control("received?last=0")["count"])

    def data(self, *texts: str, name: str = "fresh.jsonl") -> str:
        """A file of prompts; returns its name."""
        text = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (self.folder / name).write_text(text, encoding="utf-8")
        return name


@contextmanager
def bench(
    standin: Running,
    server: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Bench]:
    """One in ``folder``, which is the working directory inside."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENROUTER_BASE_URL", standin.base_url)
    monkeypatch.setenv("OPENROUTER_API_KEY", DEFAULT_KEY)
    # What a person of this machine has approved is neither read nor changed.
    monkeypatch.setenv("XDG_STATE_HOME", str(folder.with_name(f"{folder.name}-state")))
    standin.control("reset", {})
    standin.control("settings", CALM)
    yield Bench(folder, standin, f"{server}/2", capsys)
    with connect(f"{server}/2") as redis:
        # The same comparison has the same name, and the next test is to know nothing of it.
        for pattern in ("cgrpo:{eval-*", "cgrpo:{ab-*"):
            if left := list(redis.scan_iter(match=pattern, count=1000)):
                redis.delete(*left)


@contextmanager
def worker_of(standin: Running, server: str, folder: Path) -> Iterator[None]:
    """A worker on database 2 that asks the stand-in."""
    keys = {"OPENROUTER_BASE_URL": standin.base_url, "OPENROUTER_API_KEY": DEFAULT_KEY}
    with worker_process(f"{server}/2", folder, "comparing", environment=keys):
        yield


def copied_run(ended: Ended, folder: Path, name: str, liked: str = "", model: str = "") -> Path:
    """A copy of a run under another name; its policy asks for ``liked``, its model is ``model``."""
    path = folder / "runs" / name
    shutil.copytree(ended.run, path, symlinks=True)
    if model:
        config = json.loads((path / "config.json").read_text("utf-8"))
        (path / "config.json").write_text(json.dumps({**config, "model": model}), encoding="utf-8")
    if liked:
        policy = json.loads((path / "policy.json").read_text("utf-8"))
        for domain in policy["domains"]:
            names = list(domain["concepts"])
            if liked in names:
                domain["logits"]["concepts"][names.index(liked)] = 9.0
        (path / "policy.json").write_text(json.dumps(policy), encoding="utf-8")
    return path
