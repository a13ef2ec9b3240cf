"""Dispatch on a real server with a real worker: what is asked for comes back, once."""

import base64
import json
import threading

import pytest
from redis import Redis

from orchestrator.dispatch import Dispatcher
from orchestrator.ledger import Progress
from orchestrator.rollouts import GroupKey
from shared.errors import EnvironmentNotReady
from shared.keys import RunKeys
from shared.messages import Completion, FailureKind, RewardTerm
from shared.queue import celery_app
from tests.processes import PATIENCE_S, wait_until
from tests.working import dispatching, draft, group_job, keys_of, worker_process


def ready_made(slot: int, text: str) -> Completion:
    return Completion(slot=slot, text=text, model="elsewhere", provider="elsewhere")


def cut_at_once(dispatcher: Dispatcher) -> None:
    """As if the deadline of all that is open had come."""
    for group in dispatcher._open.values():
        group.deadline = 0.0


def leases_are_free(redis: Redis, run: str) -> bool:
    return not any(":lease:" in key for key in keys_of(redis, run))


def test_every_slot_comes_back_with_its_completion_and_its_reward(
    dispatcher: Dispatcher, run_id: str
) -> None:
    seen: list[Progress] = []

    found = dispatcher.collect(
        [group_job(run_id, "e001", slots=3), group_job(run_id, "e002", slots=5)],
        deadline_s=600,
        observe=seen.append,
    )

    assert {group: sorted(slots) for group, slots in found.items()} == {
        "e001": [0, 1, 2],
        "e002": [0, 1, 2, 3, 4],
    }
    for group, slots in found.items():
        for slot, (completion, reward, failure) in slots.items():
            assert failure is None
            assert completion is not None
            assert completion.text == draft(group, slot)
            assert reward is not None
            assert reward.slot == slot
            assert reward.parts == {"length": reward.value}
    assert seen[-1] == Progress(slots=8, scored=8, failed=0, resubmitted=0, workers=1)


def test_longer_answers_near_the_target_score_higher(dispatcher: Dispatcher, run_id: str) -> None:
    found = dispatcher.collect([group_job(run_id, slots=3)], deadline_s=600)

    values = [found["e001"][slot].reward.value for slot in range(3)]  # type: ignore[union-attr]
    assert values == sorted(set(values))


def test_a_group_that_has_its_completions_is_only_scored(
    dispatcher: Dispatcher, run_id: str
) -> None:
    # Given completions from elsewhere, and a generator too slow to be asked.
    dispatcher.preload(1, "e001", [ready_made(slot, f"Text {slot}.") for slot in range(4)])

    found = dispatcher.collect([group_job(run_id, latency_s=30)], deadline_s=600)

    for slot, (completion, reward, failure) in found["e001"].items():
        assert completion == ready_made(slot, f"Text {slot}.")
        assert reward is not None
        assert failure is None


def test_a_group_that_was_interrupted_generates_only_what_is_missing(
    dispatcher: Dispatcher, run_id: str
) -> None:
    dispatcher.preload(1, "e001", [ready_made(2, "Already there.")])

    found = dispatcher.collect([group_job(run_id)], deadline_s=600)

    texts = [found["e001"][slot].completion.text for slot in range(4)]  # type: ignore[union-attr]
    assert texts == [draft("e001", 0), draft("e001", 1), "Already there.", draft("e001", 3)]


def test_without_rewards_only_completions_are_made(
    dispatcher: Dispatcher, redis: Redis, run_id: str
) -> None:
    found = dispatcher.collect([group_job(run_id, rewards=None)], deadline_s=600)

    for completion, reward, failure in found["e001"].values():
        assert completion is not None
        assert (reward, failure) == (None, None)
    assert {field.split(":")[0] for field in redis.hkeys(RunKeys(run_id).slots(1, "e001"))} == {
        "generate"
    }


def test_at_the_deadline_slots_that_have_not_ended_are_missing_and_the_others_kept(
    dispatcher: Dispatcher, run_id: str
) -> None:
    jobs = [group_job(run_id, "quick"), group_job(run_id, "slow", latency_s=5)]
    dispatcher.begin(jobs, deadline_s=600)
    quick = dispatcher.gather([jobs[0].key], 1)

    cut_at_once(dispatcher)
    found = {key.group: slots for key, slots in dispatcher.gather([jobs[1].key], 1).items()}
    found["quick"] = quick[jobs[0].key]

    assert all(result.reward for result in found["quick"].values())
    for completion, reward, failure in found["slow"].values():
        assert (completion, reward) == (None, None)
        assert failure is not None
        assert failure.kind is FailureKind.DEADLINE


def test_without_any_worker_the_run_stops_after_the_grace_time_and_says_what_to_do(
    empty_url: str, run_id: str
) -> None:
    with (
        dispatching(empty_url, run_id, worker_grace_s=1) as dispatcher,
        pytest.raises(
            EnvironmentNotReady, match=r"no worker has been alive for 1 s.*orchestrator worker"
        ),
    ):
        dispatcher.collect([group_job(run_id)], deadline_s=600)


def test_a_closed_step_leaves_no_key_but_the_stream(
    dispatcher: Dispatcher, redis: Redis, run_id: str
) -> None:
    keys = RunKeys(run_id)
    dispatcher.collect([group_job(run_id, f"e{n}") for n in range(3)], deadline_s=600)
    wait_until(lambda: leases_are_free(redis, run_id), "leases given back")
    assert keys.slots(1, "e0") in keys_of(redis, run_id)

    dispatcher.close([GroupKey(1, name) for name in ("e0", "e1", "e2")])

    assert keys_of(redis, run_id) == {keys.events}


def test_the_stream_stays_short_however_many_steps_are_closed(
    dispatcher: Dispatcher, redis: Redis, run_id: str
) -> None:
    groups = [f"e{n}" for n in range(10)]
    for step in range(1, 9):
        jobs = [group_job(run_id, group, slots=5, step=step) for group in groups]
        dispatcher.collect(jobs, deadline_s=600)
        dispatcher.close([GroupKey(step, group) for group in groups])

    # A step has 100 entries, and the server forgets them a hundred at a time.
    assert redis.xlen(RunKeys(run_id).events) <= 200


def test_results_that_come_after_the_deadline_are_kept_and_expire_in_redis(
    dispatcher: Dispatcher, redis: Redis, run_id: str
) -> None:
    # Given a step closed while a worker has its group in hand.
    job = group_job(run_id, latency_s=3)
    dispatcher.begin([job], deadline_s=600)
    lease = RunKeys(run_id).lease(1, "e001", "generate")
    wait_until(lambda: redis.exists(lease), "group in hand")
    cut_at_once(dispatcher)
    dispatcher.gather([job.key], 1)
    assert redis.hlen(RunKeys(run_id).slots(1, "e001")) == 0
    dispatcher.close([GroupKey(1, "e001")])
    assert dispatcher.take_late() == []

    slots = RunKeys(run_id).slots(1, "e001")
    wait_until(lambda: redis.hlen(slots) == 4, "the late worker done")
    dispatcher.collect([group_job(run_id, group="e002")], deadline_s=600)
    late = dispatcher.take_late()

    assert {(row["step"], row["group"]) for row in late} == {("1", "e001")}
    assert all("Completion" in row["result"] for row in late)
    assert dispatcher.take_late() == []
    no_expiry = -1
    left = keys_of(redis, run_id) - {RunKeys(run_id).events}
    assert [key for key in left if redis.ttl(key) == no_expiry] == []


def test_a_finished_group_delivered_again_changes_nothing(
    server: str, dispatcher: Dispatcher, redis: Redis, run_id: str
) -> None:
    keys = RunKeys(run_id)
    dispatcher.collect([group_job(run_id)], deadline_s=600)
    results, news = redis.hgetall(keys.slots(1, "e001")), redis.xlen(keys.events)
    # A second run of the jobs would show: they now ask for another text, which takes its time, and
    # for another reward.
    terms = [RewardTerm(name="vocabulary", weight=1.0)]
    job = group_job(run_id, latency_s=20, rewards=terms)
    other = job.generate.model_dump_json().replace("Answer", "Other")
    redis.set(keys.job(1, "e001", "generate"), other)
    redis.set(keys.job(1, "e001", "score"), job.score.model_dump_json() if job.score else "")

    with celery_app(f"{server}/0") as app:
        for task in ("generate", "score") * 2:
            app.send_task(task, args=(run_id, 1, "e001", 1))
    wait_until(lambda: not redis.llen("generate") and not redis.llen("score"), "tasks taken")
    # By the time that these have gone through the same worker, it is done with the tasks above.
    dispatcher.collect([group_job(run_id, "after")], deadline_s=600)

    assert redis.hgetall(keys.slots(1, "e001")) == results
    # One entry per slot and role of the group that came after, and none of the old one.
    assert redis.xlen(keys.events) == news + 8


def test_the_broker_sees_ids_and_a_label_and_no_private_text(
    empty_url: str, empty_redis: Redis, run_id: str
) -> None:
    with dispatching(empty_url, run_id) as dispatcher:
        dispatcher.collect([group_job(run_id)], deadline_s=0.1)

    (raw,) = empty_redis.lrange("generate", 0, -1)
    message = json.loads(raw)
    body = base64.b64decode(message["body"]).decode()
    arguments, keywords, _ = json.loads(body)

    assert arguments == [run_id, 1, "e001", 1]
    assert keywords == {}
    assert message["headers"]["argsrepr"] == "s001 e001 x4: Short"
    assert message["headers"]["id"] == f"{run_id}/s001/e001/generate/1"
    assert not [word for word in ("Private", "Answer", "qubits") if word in raw + body]


def test_a_task_that_vanished_from_the_queue_is_submitted_again(
    empty_url: str, empty_redis: Redis, run_id: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Given a group in the queue, and nobody to take it.
    found = {}
    with dispatching(empty_url, run_id) as dispatcher:
        collecting = threading.Thread(
            target=lambda: found.update(dispatcher.collect([group_job(run_id)], deadline_s=600))
        )
        collecting.start()
        wait_until(lambda: empty_redis.llen("generate"), "submitted")

        # When the broker forgets it.
        empty_redis.delete("generate")

        # Then it comes again, and the first worker that comes does it.
        wait_until(lambda: empty_redis.llen("generate"), "submitted again")
        with worker_process(empty_url, tmp_path_factory.mktemp("late"), "late"):
            collecting.join(PATIENCE_S)

    assert dispatcher.resubmitted >= 1
    assert all(result.reward for result in found["e001"].values())
    assert len(found["e001"]) == 4
