"""Who is alive: the workers whose heartbeat is fresh."""

from contextlib import suppress
from typing import cast

from pydantic import ValidationError
from redis import Redis

from shared.keys import WORKER_TTL_S, WORKERS
from shared.messages import WorkerCard


def live_workers(redis: "Redis") -> list[WorkerCard]:
    """The cards of the live workers, by name. ``redis`` decodes responses.

    A card that cannot be read is of a worker whose results could not be read either: it is no
    worker of ours; one of the future was written before the server's clock was put back.
    """
    now = redis.time()[0]
    cards = cast(list[str], redis.zrangebyscore(WORKERS, now - WORKER_TTL_S, now + WORKER_TTL_S))
    found = []
    for card in cards:
        with suppress(ValidationError):
            found.append(WorkerCard.model_validate_json(card))
    return sorted(found, key=lambda c: c.name)
