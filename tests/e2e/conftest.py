"""What the tests of ``eval`` and ``ab`` share: one stand-in, and one worker that asks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.standin import Running, running
from tests.comparing import TEXTS, Bench, bench, worker_of


@pytest.fixture(scope="session")
def asked_standin(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stand-in with a worker on database 2 of the server."""
    with running() as standin, worker_of(standin, server, tmp_path_factory.mktemp("asking")):
        yield standin


@pytest.fixture
def comparing(
    asked_standin: Running,
    server: str,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Bench]:
    """A folder to compare in, with fresh prompts."""
    with bench(asked_standin, server, workplace, monkeypatch, capsys) as made:
        made.data(*TEXTS)
        yield made
