"""Redis that is slow, restarts, refuses or forgets: a run waits and goes on, or stops resumable."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from orchestrator.data import BUILTIN_TRAIN
from orchestrator.embedded import Embedded, connect, free_port
from shared.keys import LONGEST_LEASE_S, WORKER_TTL_S
from tests.processes import PATIENCE_S, wait_until
from tests.proxy import Proxy, proxying
from tests.running import (
    SMALL,
    Ended,
    Started,
    held_after,
    json_lines,
    let_go,
    metrics,
    only_run,
    orchestrator,
    started,
)
from tests.working import worker_process

#: Slow enough to be under way when something happens.
SLOW = (*SMALL, "--set=template_latency_s=0.3", "--no-live")


@contextmanager
def disturbed(url: str, folder: Path) -> Iterator[tuple[Started, Proxy]]:
    """A run, held after its first step, with two workers on a server, all behind a proxy."""
    with ExitStack() as stack:
        proxy = stack.enter_context(proxying(url))
        for name in ("first", "second"):
            stack.enter_context(worker_process(proxy.url, folder, name))
        options = (*SLOW, f"--redis={proxy.url}", held_after(1, folder))
        run = stack.enter_context(started("run", *options, cwd=folder))
        run.await_hold(folder)
        yield run, proxy


def assert_as_if_undisturbed(command: Started, folder: Path, twin: Ended) -> None:
    how = command.end()
    assert how.code == 0, how.err
    assert "Traceback" not in how.err
    assert Ended(how, folder).policy == twin.policy
    assert [row["step"] for row in metrics(only_run(folder))] == [1, 2, 3, 4]
    rows = json_lines((only_run(folder) / "rollouts.jsonl").read_text("utf-8"))
    ids = {(row["purpose"], row["step"], row["group"], row["slot"]) for row in rows}
    assert len(ids) == len(rows)


def test_a_server_200_ms_away_costs_time_and_nothing_else(
    empty_url: str, workplace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # A task is a dozen commands one after the other, so a worker takes one in some seconds.
    few = ("--steps=1", "--set=batch_size=1", "--set=eval_samples=1", "--no-live")
    near, ends = tmp_path_factory.mktemp("near"), []
    for folder in (near, workplace):
        lines = BUILTIN_TRAIN.read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / "train.jsonl").write_text("".join(lines[:4]))
        (folder / "heldout.jsonl").write_text("".join(lines[4:5]))
    data = ("--data=train.jsonl", "--heldout=heldout.jsonl")
    ends.append(orchestrator("run", *data, *few, cwd=near))

    with proxying(empty_url) as proxy, worker_process(proxy.url, workplace, "far"):
        proxy.latency_s = 0.1
        url = f"--redis={proxy.url}"
        ends.append(orchestrator("run", url, *data, *few, cwd=workplace))

    assert [(how.code, "Traceback" in how.err) for how in ends] == [(0, False)] * 2, ends
    assert Ended(ends[0], near).policy == Ended(ends[1], workplace).policy


def test_connections_that_are_cut_in_the_middle_are_made_again(
    empty_url: str, workplace: Path, small_run: Ended
) -> None:
    with disturbed(empty_url, workplace) as (command, proxy):
        let_go(workplace)
        # Those of two workers and a run, again and again while it goes on.
        for _ in range(8):
            wait_until(lambda: proxy.connections, "connections are made again")
            proxy.cut()
            time.sleep(0.35)

        assert_as_if_undisturbed(command, workplace, small_run)
        assert proxy.cuts >= 8


def test_a_server_that_pauses_as_in_a_failover_is_waited_for(
    empty_url: str, empty_redis: Redis, workplace: Path, small_run: Ended
) -> None:
    with disturbed(empty_url, workplace) as (command, _):
        # Longer than leases and heartbeats live.
        empty_redis.client_pause(8_500)
        let_go(workplace)

        assert_as_if_undisturbed(command, workplace, small_run)


def test_a_failover_is_waited_for_by_workers_and_orchestrator(
    workplace: Path, small_run: Ended
) -> None:
    """A server that becomes a replica ends the commands that wait on it, and refuses writes."""
    with (
        Embedded(workplace / "state", workplace / "logs", workers=0, groups=1) as own,
        connect(own.url) as redis,
        ExitStack() as stack,
    ):
        workers = [
            stack.enter_context(worker_process(own.url, workplace, name)) for name in ("one", "two")
        ]
        options = (f"--redis={own.url}", *SLOW, held_after(1, workplace))
        with started("run", *options, cwd=workplace) as command:
            command.await_hold(workplace)
            redis.replicaof("127.0.0.1", free_port())
            let_go(workplace)
            before = len(metrics(only_run(workplace)))
            # Longer than a lease, and than a worker's card, count.
            time.sleep(WORKER_TTL_S + 1)
            assert len(metrics(only_run(workplace))) <= before + 1
            assert [worker.process.poll() for worker in workers] == [None, None]
            redis.replicaof("NO", "ONE")

            assert_as_if_undisturbed(command, workplace, small_run)

        for worker in workers:
            worker.process.send_signal(signal.SIGTERM)
            assert worker.process.wait(PATIENCE_S) == 0


def test_a_server_whose_memory_is_full_for_a_while_is_waited_for(
    empty_url: str, empty_redis: Redis, workplace: Path, small_run: Ended
) -> None:
    with disturbed(empty_url, workplace) as (command, _):
        with full_memory(empty_redis):
            let_go(workplace)
            time.sleep(3)
            assert len(metrics(only_run(workplace))) == 1, "no step is done without memory"

        assert_as_if_undisturbed(command, workplace, small_run)


@contextmanager
def full_memory(redis: Redis) -> Iterator[None]:
    redis.config_set("maxmemory", "1mb")
    try:
        yield
    finally:
        redis.config_set("maxmemory", "0")


def test_a_server_that_is_wiped_stops_the_run_and_the_resume_goes_on_from_the_checkpoint(
    empty_url: str, empty_redis: Redis, workplace: Path, small_run: Ended
) -> None:
    with disturbed(empty_url, workplace) as (command, proxy):
        run = only_run(workplace)

        empty_redis.flushdb()
        let_go(workplace)

        stopped = command.end()
        assert stopped.code == 3, stopped.err
        assert f"Redis knows nothing of run {run.name} any more" in stopped.err
        assert f"resume  orchestrator run --resume {run.name}" in stopped.err

        resumed = orchestrator(
            "run", "--resume", run.name, f"--redis={proxy.url}", cwd=workplace, name="resumed"
        )

    assert resumed.code == 0, resumed.err
    assert Ended(resumed, workplace).policy == small_run.policy
    assert [row["step"] for row in metrics(run)] == [1, 2, 3, 4]


def test_all_workers_gone_is_a_sentence_and_the_run_goes_on_when_they_are_back(
    empty_url: str, workplace: Path, small_run: Ended
) -> None:
    options = (f"--redis={empty_url}", *SMALL, "--set=worker_grace_s=3", "--no-live")
    with (
        worker_process(empty_url, workplace, "only") as only,
        started("run", *options, held_after(1, workplace), cwd=workplace) as command,
    ):
        run = command.await_hold(workplace)
        only.process.kill()
        only.process.wait()
        let_go(workplace)

        stopped = command.end()

    assert stopped.code == 3
    assert "no worker has been alive for 3 s; start some with: orchestrator worker" in stopped.err
    with worker_process(empty_url, workplace, "heir"):
        resumed = orchestrator(
            "run", "--resume", run.name, f"--redis={empty_url}", cwd=workplace, name="resumed"
        )
    assert resumed.code == 0, resumed.err
    assert Ended(resumed, workplace).policy == small_run.policy


def test_a_slot_that_never_answers_does_not_hold_up_its_step(
    empty_url: str, empty_redis: Redis, workplace: Path
) -> None:
    """A step closes at its deadline with what has come."""
    with worker_process(empty_url, workplace, "only") as only:
        options = (*SMALL, "--no-live", "--set=step_deadline_s=10", held_after(1, workplace))
        with started("run", f"--redis={empty_url}", *options, cwd=workplace) as command:
            command.await_hold(workplace)
            # While the only worker stands still, so that it cannot come first.
            only.process.send_signal(signal.SIGSTOP)
            let_go(workplace)
            wait_until(lambda: hold_one_group_of_step_2(empty_redis), "a group of step 2 is held")
            only.process.send_signal(signal.SIGCONT)
            how = command.end()

    assert how.code == 0, how.err
    rows = json_lines((only_run(workplace) / "rollouts.jsonl").read_text("utf-8"))
    failed = [row for row in rows if row["failure"]]
    assert {(row["step"], row["failure"]["kind"]) for row in failed} == {(2, "deadline")}
    assert len({row["group"] for row in failed}) == 1
    trained = [row for row in rows if row["step"] == 2 and row["advantage"] is not None]
    assert trained


def hold_one_group_of_step_2(redis: Redis) -> bool:
    """Take the lease of its scoring before it is generated, and never let go."""
    for job in redis.scan_iter("cgrpo:*:job:2:*:score", count=1000):
        lease = str(job).replace(":job:", ":lease:")
        return bool(redis.set(lease, "a worker that hangs", nx=True, ex=LONGEST_LEASE_S))
    return False
