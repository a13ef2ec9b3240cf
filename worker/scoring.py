"""One group's rewards: every completion that has no reward yet."""

import asyncio

from redis.exceptions import RedisError

from shared.keys import slot_field
from shared.messages import Completion, Failure, FailureKind, Reward, ScoreJob
from shared.results import divided
from worker.calls import Caller
from worker.failures import ProviderFailure
from worker.governor import Stopped, Withdrawn
from worker.rewards.judge import judge_completion
from worker.rewards.table import score
from worker.slots import Held, Slots


async def score_group(slots: Slots, caller: Caller, held: Held) -> None:
    """Score and commit what is missing, each judged slot as it ends.

    The functions run in threads: a custom reward may block, and must not hold up the loop. Raises
    ValidationError for a job of another version, Stopped when the whole run must stop, Withdrawn
    when the group is not this worker's to do any more.
    """
    job = ScoreJob.model_validate_json(held.job)
    missing = _unscored(held)
    if not job.judges:
        scored = await asyncio.to_thread(lambda: {c.slot: score(job, c) for c in missing})
        await slots.commit(held, scored)
        return

    async def judged(completion: Completion) -> None:
        result = await _judged(caller, job, completion, held)
        await slots.commit(held, {completion.slot: result})

    outcomes = await asyncio.gather(*map(judged, missing), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _judged(
    caller: Caller, job: ScoreJob, completion: Completion, held: Held
) -> Reward | Failure:
    try:
        verdicts = await judge_completion(caller, job, completion, held)
    except ProviderFailure as failure:
        return failure.of_slot(completion.slot, "judge")
    except (Stopped, Withdrawn, RedisError):
        raise
    except Exception as error:
        # A fault of ours with one answer must not take the group's other slots with it.
        return Failure(
            slot=completion.slot,
            kind=FailureKind.WORKER_ERROR,
            message=f"the judge's answer could not be read: {type(error).__name__}",
        )
    found = await asyncio.to_thread(score, job, completion, verdicts.mean)
    if isinstance(found, Failure):
        return found
    return found.model_copy(
        update={
            "judged": verdicts.scores,
            "rejudged": verdicts.again,
            "asked_again": verdicts.asked_again,
            "cost_usd": verdicts.cost_usd,
        }
    )


def _unscored(held: Held) -> list[Completion]:
    found = []
    for field, value in held.slots.items():
        role, _, slot = field.partition(":")
        kind, payload = divided(value)
        scored = slot_field("score", int(slot)) in held.slots
        if role == "generate" and kind == "Completion" and not scored:
            found.append(Completion.model_validate_json(payload))
    return sorted(found, key=lambda completion: completion.slot)
