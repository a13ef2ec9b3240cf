"""The embedded cluster: quick, private, found again, and gone when it is stopped."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from redis.exceptions import AuthenticationError

from orchestrator import embedded, state_lock
from orchestrator.embedded import Embedded, check_server, connect, free_port
from shared.errors import EnvironmentNotReady, Fenced
from shared.fleet import live_workers
from shared.keys import WORKERS, RunKeys
from tests.processes import (
    alive,
    descendants,
    environment,
    every_command_line,
    needs_proc,
    running,
    wait_until,
)


class Cluster(NamedTuple):
    """A running cluster with two workers."""

    url: str
    children: set[int]
    logs: Path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    before = descendants(os.getpid()) if Path("/proc").is_dir() else set()
    with Embedded(folder / "state", folder / "logs", workers=2, groups=3) as running_cluster:
        running_cluster.await_workers()
        children = descendants(os.getpid()) - before if Path("/proc").is_dir() else set()
        yield Cluster(running_cluster.url, children, folder / "logs")


def password_of(url: str) -> str:
    password = urlsplit(url).password
    assert password
    return password


def test_server_and_workers_are_ready(cluster: Cluster) -> None:
    with connect(cluster.url) as redis:
        assert [card.groups for card in live_workers(redis)] == [3, 3]


@pytest.mark.parametrize("login", ["", ":guess@"])
def test_nobody_comes_in_without_the_password(cluster: Cluster, login: str) -> None:
    with (
        connect(f"redis://{login}127.0.0.1:{urlsplit(cluster.url).port}/0") as stranger,
        pytest.raises(AuthenticationError),
    ):
        stranger.ping()


def test_the_password_is_long_and_new_each_time(cluster: Cluster, server: str) -> None:
    assert len(password_of(cluster.url)) >= 32
    assert password_of(cluster.url) != password_of(server)


@needs_proc
def test_the_server_listens_on_loopback_only(cluster: Cluster) -> None:
    port = f"{urlsplit(cluster.url).port:04X}"
    rows = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text(encoding="ascii").splitlines()[1:]
    ]
    listening = "0A"
    addresses = [row[1] for row in rows if row[3] == listening and row[1].endswith(f":{port}")]

    assert addresses == [f"0100007F:{port}"]


@needs_proc
def test_the_password_stands_in_no_command_line_and_in_no_log(cluster: Cluster) -> None:
    # Given that it is where it belongs, so that looking for it can succeed.
    (worker, *_) = running(cluster.children, "-m worker")
    assert environment(worker)["REDIS_URL"] == cluster.url

    password = password_of(cluster.url)
    assert not [line for line in every_command_line() if password in line]
    logs = {log.name: log.read_text(encoding="utf-8") for log in cluster.logs.iterdir()}
    assert set(logs) == {"valkey.log", "worker-1.log", "worker-2.log"}
    assert not [name for name, text in logs.items() if password in text]


def test_data_survives_and_is_found_again(tmp_path: Path) -> None:
    # In a folder with a name that config files trip over.
    state = tmp_path / "state of 'my' runs # 1"
    with Embedded(state, tmp_path / "logs", workers=0, groups=1) as first:
        with connect(first.url) as redis:
            redis.hset("cgrpo:test", mapping={"version": 7})
        old = first.url

    with Embedded(state, tmp_path / "logs", workers=0, groups=1) as second:
        assert second.url != old
        with connect(second.url) as redis:
            assert redis.hgetall("cgrpo:test") == {"version": "7"}


def test_a_port_that_another_process_took_in_between_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = int(other.getsockname()[1])
        ports = iter([taken, taken, free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        with (
            Embedded(tmp_path / "state", tmp_path / "logs", workers=0, groups=1) as cluster,
            connect(cluster.url) as redis,
        ):
            assert redis.ping()
            assert urlsplit(cluster.url).port != taken


def test_a_port_that_is_never_free_is_an_error_with_the_servers_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        taken = int(other.getsockname()[1])
        monkeypatch.setattr(embedded, "free_port", lambda: taken)
        with (
            pytest.raises(EnvironmentNotReady, match="Address already in use"),
            Embedded(tmp_path / "state", tmp_path / "logs", workers=0, groups=1),
        ):
            pass


def test_a_cluster_that_starts_again_does_not_wait_for_the_dead(tmp_path: Path) -> None:
    # Given a state folder of a cluster that was killed with work in hand.
    lease, job = RunKeys("r").lease(1, "e001", "generate"), RunKeys("r").job(1, "e001", "generate")
    with (
        Embedded(tmp_path / "state", tmp_path / "logs", workers=0, groups=1) as first,
        connect(first.url) as redis,
    ):
        redis.set(lease, "a worker that is dead by now", px=60_000)
        redis.set(job, "{}")
        redis.zadd(WORKERS, {"its card": redis.time()[0]})

    with (
        Embedded(tmp_path / "state", tmp_path / "logs", workers=0, groups=1) as second,
        connect(second.url) as redis,
    ):
        assert redis.exists(job)
        assert not redis.exists(WORKERS)
        assert not redis.exists(lease)


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "Ünïcode", "$HOME"])
def test_a_state_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    with (
        Embedded(tmp_path / name, tmp_path / "logs", workers=0, groups=1) as cluster,
        connect(cluster.url) as redis,
    ):
        assert redis.config_get("dir") == {"dir": str(tmp_path / name)}


@needs_proc
def test_stop_leaves_no_process(tmp_path: Path) -> None:
    before = descendants(os.getpid())
    cluster = Embedded(tmp_path / "state", tmp_path / "logs", workers=1, groups=1)
    with cluster:
        cluster.await_workers()
        children = descendants(os.getpid()) - before
        assert len(running(children, "valkey")) == len(running(children, "-m worker")) == 1

    assert [pid for pid in children if alive(pid)] == []
    cluster.stop()  # Once more is no harm.


def test_a_state_folder_has_one_user_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_lock, "PATIENCE_S", 0.2)
    state = tmp_path / "my-run"
    with Embedded(state, tmp_path / "logs", workers=0, groups=1) as first:
        with (
            pytest.raises(Fenced, match=rf"my-run is owned by process {os.getpid()} since \d\d:"),
            Embedded(state, tmp_path / "logs", workers=0, groups=1),
        ):
            pass
        assert check_server(first.url)

    with Embedded(state, tmp_path / "logs", workers=0, groups=1):
        pass


def test_a_worker_that_cannot_start_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "two words")

    with (
        Embedded(tmp_path / "state", tmp_path / "logs", workers=1, groups=1) as cluster,
        pytest.raises(EnvironmentNotReady) as refused,
    ):
        cluster.await_workers()

    said = str(refused.value)
    assert re.match(r"worker 1 did not start; its last words:\n  .*copy the key again", said)
    assert str(tmp_path) not in said


def test_files_of_the_user_never_take_the_place_of_a_workers_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("worker", "shared", "orchestrator", "redis", "celery", "numpy", "json", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user')\n")
    (tmp_path / "on_the_path" / "worker").mkdir(parents=True)
    (tmp_path / "on_the_path" / "worker" / "__init__.py").write_text("raise SystemExit(1)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "on_the_path"))
    monkeypatch.chdir(tmp_path)

    with Embedded(tmp_path / "state", tmp_path / "logs", workers=1, groups=1) as cluster:
        cluster.await_workers()


def test_a_server_that_does_not_answer_is_said_so() -> None:
    with pytest.raises(EnvironmentNotReady, match="does not answer") as refused:
        check_server(f"redis://me:secret@127.0.0.1:{free_port()}/0")

    assert "secret" not in str(refused.value)


def test_a_wrong_password_is_called_that(server: str) -> None:
    wrong = server.replace(password_of(server), "wrong")

    with pytest.raises(EnvironmentNotReady, match="refuses the user or password"):
        check_server(f"{wrong}/0")


@needs_proc
def test_a_server_whose_keeper_is_killed_goes_with_it(tmp_path: Path) -> None:
    before = descendants(os.getpid())
    with Embedded(tmp_path / "state", tmp_path / "logs", workers=0, groups=1):
        children = descendants(os.getpid()) - before
        (server,) = running(children, "valkey")
        (keeper,) = children - {server}

        os.kill(keeper, 9)

        wait_until(lambda: not alive(server), "server gone")
