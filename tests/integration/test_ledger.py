"""The ledger of a run survives a server that was wiped clean."""

from redis import Redis

from orchestrator.budget import restore_ledger, saved_ledger, spending
from shared.keys import RunKeys


def test_a_wiped_server_is_told_what_was_spent_and_doubts_what_was_reserved(
    empty_redis: Redis, run_id: str
) -> None:
    keys = RunKeys(run_id)
    booked = {"spent:generate": 7_000, "perhaps:judge": 5, "reserved:judge": 20, "calls:judge": 3}
    empty_redis.hset(keys.money, mapping=booked)
    empty_redis.hset(keys.faults, mapping={"server": 2})
    saved = saved_ledger(empty_redis, run_id)
    empty_redis.flushdb()

    restore_ledger(empty_redis, run_id, saved, doubtful_usd=1e-06)

    found = spending(empty_redis, run_id)
    assert (found.spent["generate"], found.perhaps["judge"]) == (7e-6, 25e-9)
    assert found.perhaps["generate"] == 1e-6
    assert (found.calls["judge"], found.faults) == (3, {"server": 2})


def test_a_server_that_knows_is_not_told(empty_redis: Redis, run_id: str) -> None:
    empty_redis.hset(RunKeys(run_id).money, mapping={"spent:eval": 9})

    saved = {"money": {"spent:eval": 1}, "faults": {}}
    restore_ledger(empty_redis, run_id, saved, doubtful_usd=1.0)

    assert spending(empty_redis, run_id).spent["eval"] == 9e-9
