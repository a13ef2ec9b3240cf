"""One group's generation: every slot without a result, concurrently, committed as it ends."""

import asyncio
from collections.abc import Mapping

from redis.exceptions import RedisError

from shared.messages import Completion, Failure, FailureKind, GenerateJob, SlotPrompt
from worker.failures import ProviderFailure
from worker.governor import Stopped, Withdrawn
from worker.providers.base import Provider
from worker.slots import Held, Slots

#: A slot that ends like this has not ended: it is done again, here or elsewhere.
Undone = Stopped | Withdrawn | RedisError
UNDONE = (Stopped, Withdrawn, RedisError)


async def generate_group(slots: Slots, providers: Mapping[str, Provider], held: Held) -> None:
    """Generate and commit what is missing.

    Raises ValidationError for a job of another version, Stopped when the whole run must stop,
    Withdrawn when the group is not this worker's to do any more, RedisError when Redis is away: the
    slots that have ended by then are committed, the others are as if never begun.
    """
    job = GenerateJob.model_validate_json(held.job)
    provider = providers[job.sampling.provider]
    missing = [p for p in job.prompts if held.result("generate", p.slot) is None]
    ended: asyncio.Queue[Completion | Failure | Undone | None] = asyncio.Queue()
    # The queue gathers what ends at the same moment into one commit.
    tasks = [asyncio.create_task(_slot(provider, job, prompt, held, ended)) for prompt in missing]
    undone: Undone | None = None
    left = len(tasks)
    while left:
        outcomes = [await ended.get()]
        while not ended.empty():
            outcomes.append(ended.get_nowait())
        left -= len(outcomes)
        results = [o for o in outcomes if isinstance(o, Completion | Failure)]
        undone = next((o for o in outcomes if isinstance(o, UNDONE)), undone)
        if results:
            await slots.commit(held, {result.slot: result for result in results})
    if undone is not None:
        raise undone


async def _slot(
    provider: Provider,
    job: GenerateJob,
    prompt: SlotPrompt,
    held: Held,
    ended: "asyncio.Queue[Completion | Failure | Undone | None]",
) -> None:
    outcome: Completion | Failure | Undone | None
    try:
        outcome = await provider.complete(prompt, job, held)
    except ProviderFailure as failure:
        outcome = failure.of_slot(prompt.slot)
    except UNDONE as reason:
        outcome = reason
    except Exception as error:
        # A provider's own fault must not take the group's other slots with it. The text of a
        # transport's exception may hold headers, so only its class travels.
        outcome = Failure(
            slot=prompt.slot,
            kind=FailureKind.WORKER_ERROR,
            message=f"the {job.sampling.provider} provider raised {type(error).__name__}",
        )
    ended.put_nowait(outcome)
