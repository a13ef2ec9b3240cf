"""What an interrupted step has left in Redis: results that nobody asks for again."""

import json
from typing import Any, NamedTuple

from redis import Redis

from shared.keys import RunKeys


class Kept(NamedTuple):
    """Results of steps that are still to be done."""

    completions: int
    rewards: int
    #: What they were billed, in USD, as far as it was told.
    cost_usd: float


def kept_results(redis: Redis, run: str, first_step: int) -> Kept:
    """The results of ``first_step`` and later that wait for it.

    An evaluation of the start or the end bears the number of the step before.
    """
    completions = rewards = 0
    cost_usd = 0.0
    for key in redis.scan_iter(match=RunKeys(run).all_slots, count=1000):
        step, group = str(key).rsplit(":", 2)[1:]
        before = first_step == 1 or group.startswith("final-")
        if int(step) < first_step - before:
            continue
        found = {str(name): _read(value) for name, value in redis.hgetall(key).items()}
        scored = {name.partition(":")[2] for name, (kind, _) in found.items() if kind == "Reward"}
        for name, (kind, payload) in found.items():
            completions += kind == "Completion"
            rewards += kind == "Reward"
            # A reward's cost holds that of its judges' answers.
            if kind != "JudgeAnswer" or name.partition(":")[2] not in scored:
                cost = payload.get("cost_usd")
                cost_usd += cost if isinstance(cost, int | float) else 0.0
    return Kept(completions, rewards, cost_usd)


def _read(value: str | bytes) -> tuple[str, dict[str, Any]]:
    """Type and content; nothing of what no worker wrote, which is found out when it is used."""
    try:
        kind, payload = json.loads(value)
        return str(kind), dict(payload)
    except (TypeError, ValueError):
        return "", {}
