"""The store on a real server: one writer, all or nothing, memory that stays flat."""

import json

import numpy as np
import pytest
from redis import Redis

from orchestrator.rollouts import DomainWeights, Params, StepReport, Weights
from orchestrator.store import FENCE_TTL_S, METRICS_KEPT, VERSIONS_KEPT, Head, Store
from shared.errors import Fenced, RunFailed
from shared.fleet import live_workers
from shared.keys import WORKERS, RunKeys
from shared.messages import WorkerCard
from tests.working import keys_of

OTHER = {"host": "elsewhere", "pid": 4711, "since": "2026-11-23 09:00:00", "nonce": "x"}


def weights(version: int) -> Weights:
    params = Params(np.array([0.1 * version, -1.0]), np.array([1 / 3]), np.zeros(0))
    return Weights(version, {"cooking": DomainWeights(params, params, {"n": np.array(2.0)})})


def report(step: int) -> StepReport:
    return StepReport(step, {"reward": 0.5 + step / 1e6})


def contents(redis: Redis, run: str) -> tuple[object, ...]:
    keys = RunKeys(run)
    return (
        redis.hgetall(keys.head),
        redis.hgetall(keys.weights),
        redis.xrange(keys.metrics),
    )


def test_a_commit_moves_weights_cursor_and_metrics_together(
    empty_redis: Redis, run_id: str
) -> None:
    with Store(empty_redis, run_id) as store:
        assert store.head() is None
        store.begin(weights(0), 1)
        assert store.next_step() == 1

        store.commit(weights(1), 1, report(1))

        assert store.head() == Head(version=1, next_step=2)
        assert store.weights().domains["cooking"].params.theta.tolist() == [0.1, -1.0]
    ((_, row),) = empty_redis.xrange(RunKeys(run_id).metrics)
    assert json.loads(row["metrics"]) == report(1).metrics


@pytest.mark.parametrize("version", [1, 3, 4])
def test_a_commit_that_does_not_follow_the_stored_version_changes_nothing(
    empty_redis: Redis, run_id: str, version: int
) -> None:
    with Store(empty_redis, run_id) as store:
        store.begin(weights(0), 1)
        store.commit(weights(1), 1, report(1))
        before = contents(empty_redis, run_id)

        with pytest.raises(Fenced, match=f"at version 1 and not at {version - 1}"):
            store.commit(weights(version), 2, report(2))

        assert contents(empty_redis, run_id) == before


def test_a_run_cannot_begin_twice(empty_redis: Redis, run_id: str) -> None:
    with Store(empty_redis, run_id) as store:
        store.begin(weights(0), 1)
        with pytest.raises(Fenced):
            store.begin(weights(0), 1)


def test_a_commit_under_another_owner_changes_nothing_and_names_the_owner(
    empty_redis: Redis, run_id: str
) -> None:
    with Store(empty_redis, run_id) as store:
        store.begin(weights(0), 1)
        before = contents(empty_redis, run_id)
        empty_redis.set(RunKeys(run_id).fence, json.dumps(OTHER))

        with pytest.raises(Fenced, match=r"elsewhere.*4711.*2026-11-23 09:00:00"):
            store.commit(weights(1), 1, report(1))

        assert contents(empty_redis, run_id) == before
    # Leaving does not take the other's fence away.
    assert json.loads(str(empty_redis.get(RunKeys(run_id).fence))) == OTHER


def test_a_second_orchestrator_is_refused_while_the_first_lives(
    empty_redis: Redis, run_id: str
) -> None:
    with Store(empty_redis, run_id) as first:
        first.begin(weights(0), 1)
        with (
            pytest.raises(Fenced, match=r"owned by process \d+ on \S+ since 20\d\d-") as refused,
            Store(empty_redis, run_id),
        ):
            pass
        assert run_id in str(refused.value)
        first.commit(weights(1), 1, report(1))


def test_a_fence_given_up_lets_the_next_one_in_at_once(empty_redis: Redis, run_id: str) -> None:
    with Store(empty_redis, run_id) as first:
        first.begin(weights(0), 1)
        assert 0 < empty_redis.pttl(RunKeys(run_id).fence) <= FENCE_TTL_S * 1000 <= 11_000

    assert not empty_redis.exists(RunKeys(run_id).fence)
    with Store(empty_redis, run_id) as second:
        second.commit(weights(1), 1, report(1))


def test_the_fence_of_a_dead_orchestrator_holds_nobody_up_for_longer_than_it_lives(
    empty_redis: Redis, run_id: str
) -> None:
    empty_redis.set(RunKeys(run_id).fence, json.dumps(OTHER), px=1200)

    with Store(empty_redis, run_id) as heir:
        heir.begin(weights(0), 1)


def test_a_fence_from_before_the_clock_was_put_back_holds_nobody_up(
    empty_redis: Redis, run_id: str
) -> None:
    empty_redis.set(RunKeys(run_id).fence, json.dumps(OTHER), px=FENCE_TTL_S * 1000 + 3_600_000)

    with Store(empty_redis, run_id) as heir:
        heir.begin(weights(0), 1)


def test_the_card_of_a_worker_from_before_the_clock_was_put_back_does_not_count(
    empty_redis: Redis,
) -> None:
    card = WorkerCard(name="dead", version="1", pid=1, groups=1, queues=())
    seconds, _ = empty_redis.time()
    empty_redis.zadd(WORKERS, {card.model_dump_json(): seconds + 3600})

    assert live_workers(empty_redis) == []


def test_alone_on_its_server_a_store_does_not_wait_for_a_dead_ones_fence(
    empty_redis: Redis, run_id: str
) -> None:
    # A fence that never ends: whoever waited for it would be refused.
    empty_redis.set(RunKeys(run_id).fence, json.dumps(OTHER))

    with Store(empty_redis, run_id, alone=True) as heir:
        heir.begin(weights(0), 1)


def test_a_thousand_steps_leave_the_last_versions_and_metrics_only(
    empty_redis: Redis, run_id: str
) -> None:
    steps = METRICS_KEPT + 50
    with Store(empty_redis, run_id) as store:
        store.begin(weights(0), 1)
        for step in range(1, steps + 1):
            store.commit(weights(step), step, report(step))
        assert store.weights().version == steps

    keys = RunKeys(run_id)
    versions = sorted(int(version) for version in empty_redis.hkeys(keys.weights))
    assert versions == list(range(steps - VERSIONS_KEPT + 1, steps + 1))
    assert empty_redis.xlen(keys.metrics) == METRICS_KEPT
    assert keys_of(empty_redis, run_id) == {keys.head, keys.weights, keys.metrics}


def test_weights_that_redis_does_not_have_are_an_error_with_the_runs_name(
    empty_redis: Redis, run_id: str
) -> None:
    with (
        Store(empty_redis, run_id) as store,
        pytest.raises(RunFailed, match=f"no weights of run {run_id}"),
    ):
        store.weights()
