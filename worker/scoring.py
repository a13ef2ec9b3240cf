"""One group's rewards: every completion that has no reward yet."""

import json

from shared.keys import slot_field
from shared.messages import Completion, Message, ScoreJob
from worker.rewards.table import score
from worker.slots import Held


def score_group(held: Held) -> dict[int, Message]:
    """Slot -> reward or failure, for every completion without one.

    Runs in the task's own thread: a custom reward may block, and must not hold up the loop.
    Raises ValidationError for a job of another version.
    """
    job = ScoreJob.model_validate_json(held.job)
    scored: dict[int, Message] = {}
    for field, value in held.slots.items():
        role, _, slot = field.partition(":")
        kind, payload = json.loads(value)
        if (
            role == "generate"
            and kind == "Completion"
            and slot_field("score", int(slot)) not in held.slots
        ):
            scored[int(slot)] = score(job, Completion.model_validate(payload))
    return scored
