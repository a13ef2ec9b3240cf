"""Who is alive: the workers whose heartbeat is fresh."""

from typing import cast

from redis import Redis

from shared.keys import WORKER_TTL_S, WORKERS
from shared.messages import WorkerCard


def live_workers(redis: "Redis") -> list[WorkerCard]:
    """The cards of the live workers, by name. ``redis`` decodes responses."""
    now = redis.time()[0]
    cards = cast(list[str], redis.zrangebyscore(WORKERS, now - WORKER_TTL_S, "+inf"))
    return sorted((WorkerCard.model_validate_json(card) for card in cards), key=lambda c: c.name)
