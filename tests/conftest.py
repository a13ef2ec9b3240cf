"""A real server and a real worker for the tests that ask for them."""

import os

# Before numpy is loaded: exact sums must not depend on how many threads a product was split over.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from orchestrator.dispatch import Dispatcher
from orchestrator.embedded import Embedded, connect
from shared.errors import EnvironmentNotReady
from tests.commanding import Command
from tests.running import SMALL, Ended, orchestrator
from tests.working import Worker, dispatching, keys_of, worker_process


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address, without database, of a Valkey server behind a password."""
    folder = tmp_path_factory.mktemp("server")
    try:
        with Embedded(folder / "state", folder / "logs", workers=0, groups=1) as cluster:
            yield cluster.url.rpartition("/")[0]
    except EnvironmentNotReady as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def worker(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker on database 0, from the repository's folder."""
    with worker_process(f"{server}/0", tmp_path_factory.mktemp("worker"), "resident") as process:
        yield process


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A small run of the command with one worker, never interrupted."""
    folder = tmp_path_factory.mktemp("small")
    return Ended(orchestrator("run", *SMALL, cwd=folder), folder)


@pytest.fixture
def run_id() -> str:
    """A run that nobody has heard of."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def redis(server: str, worker: Worker, run_id: str) -> Iterator[Redis]:
    """A client of the database with a worker; the keys of ``run_id`` are removed at the end."""
    with connect(f"{server}/0") as client:
        yield client
        if left := keys_of(client, run_id):
            client.delete(*left)


@pytest.fixture
def dispatcher(server: str, redis: Redis, run_id: str) -> Iterator[Dispatcher]:
    """A dispatcher of ``run_id`` on the database with a worker."""
    with dispatching(f"{server}/0", run_id) as made:
        yield made


@pytest.fixture
def empty_url(server: str) -> Iterator[str]:
    """The address of an empty database where nobody works."""
    url = f"{server}/1"
    with connect(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@pytest.fixture
def empty_redis(empty_url: str) -> Iterator[Redis]:
    """A client of that empty database."""
    with connect(empty_url) as client:
        yield client


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """An empty folder to run commands in."""
    return tmp_path


@pytest.fixture
def command(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """``orchestrator`` in this process, in an empty folder."""
    monkeypatch.chdir(workplace)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_STATE_HOME", str(workplace.with_name(f"{workplace.name}-state")))
    return Command(monkeypatch, capsys)
