"""Workers that die with work in hand: nothing is missing, nobody waits for long."""

import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from shared.keys import RunKeys
from tests.processes import PATIENCE_S, wait_until
from tests.working import dispatching, draft, group_job, worker_process


def holder(redis: Redis, run: str, group: str) -> str:
    """The worker that has the group's generation in hand; empty if nobody has."""
    return str(redis.get(RunKeys(run).lease(1, group, "generate")) or "").split(" ")[0]


def test_a_group_whose_worker_was_killed_is_finished_by_another(
    empty_url: str, empty_redis: Redis, run_id: str, workplace: Path
) -> None:
    groups = ["e001", "e002", "e003", "e004"]
    jobs = [group_job(run_id, group, latency_s=0.7) for group in groups]
    found = {}
    with ExitStack() as stack:
        # Given two workers with work in hand.
        crew = {
            name: stack.enter_context(worker_process(empty_url, workplace, name))
            for name in ("first", "second")
        }
        dispatcher = stack.enter_context(dispatching(empty_url, run_id))
        collecting = threading.Thread(
            target=lambda: found.update(dispatcher.collect(jobs, deadline_s=600))
        )
        collecting.start()
        wait_until(lambda: all(holder(empty_redis, run_id, g) for g in groups), "all in hand")
        victim = holder(empty_redis, run_id, "e001")
        stranded = [g for g in groups if holder(empty_redis, run_id, g) == victim]

        # When one is killed.
        os.kill(crew[victim].process.pid, signal.SIGKILL)
        collecting.join(PATIENCE_S)

    # Then the other does the dead one's groups, and every slot has its own answer.
    assert dispatcher.resubmitted == len(stranded)
    for group in groups:
        texts = {slot: result.completion.text for slot, result in found[group].items()}
        assert texts == {slot: draft(group, slot) for slot in range(4)}
        assert all(result.reward for result in found[group].values())


def test_a_run_whose_last_worker_was_killed_goes_on_when_another_comes(
    empty_url: str, empty_redis: Redis, run_id: str, workplace: Path
) -> None:
    found = {}
    with dispatching(empty_url, run_id) as dispatcher:
        collecting = threading.Thread(
            target=lambda: found.update(
                dispatcher.collect([group_job(run_id, latency_s=0.5)], deadline_s=600)
            )
        )
        collecting.start()
        with worker_process(empty_url, workplace, "only") as only:
            wait_until(lambda: holder(empty_redis, run_id, "e001"), "in hand")
            os.kill(only.process.pid, signal.SIGKILL)
            only.process.wait()
            # Its lease would end by itself; the test above waits for that.
            empty_redis.pexpire(RunKeys(run_id).lease(1, "e001", "generate"), 100)
        with worker_process(empty_url, workplace, "heir"):
            collecting.join(PATIENCE_S)

    assert all(result.reward for result in found["e001"].values())


def test_a_task_that_is_lost_in_a_queue_that_is_never_empty_is_submitted_again(
    empty_url: str, empty_redis: Redis, run_id: str, workplace: Path
) -> None:
    found = {}
    with dispatching(empty_url, run_id) as dispatcher:
        collecting = threading.Thread(
            target=lambda: found.update(dispatcher.collect([group_job(run_id)], deadline_s=600))
        )
        collecting.start()
        # Given a task that the broker lost, while another run's waits in the same queue.
        wait_until(lambda: empty_redis.llen("generate"), "submitted")
        (lost,) = empty_redis.lrange("generate", 0, -1)
        empty_redis.lset("generate", 0, str(lost).replace(run_id, "another-run"))

        wait_until(lambda: empty_redis.llen("generate") == 2, "submitted again")

        with worker_process(empty_url, workplace, "only"):
            collecting.join(PATIENCE_S)

    assert all(result.reward for result in found["e001"].values())
