"""One group's generation: every slot without a result, concurrently, committed as it ends."""

import asyncio

from shared.messages import Completion, Failure, FailureKind, GenerateJob, SlotPrompt
from worker.providers import PROVIDERS
from worker.providers.base import ProviderFailure
from worker.slots import Held, Slots


async def generate_group(slots: Slots, held: Held) -> None:
    """Generate and commit what is missing. Raises ValidationError for a job of another version."""
    job = GenerateJob.model_validate_json(held.job)
    missing = [p for p in job.prompts if held.result("generate", p.slot) is None]
    finished: asyncio.Queue[Completion | Failure] = asyncio.Queue()
    pending = {asyncio.create_task(_slot(job, prompt, finished)) for prompt in missing}
    left = len(pending)
    while left:
        results = [await finished.get()]
        while not finished.empty():
            results.append(finished.get_nowait())
        left -= len(results)
        await slots.commit(held.task, {result.slot: result for result in results})


async def _slot(
    job: GenerateJob, prompt: SlotPrompt, finished: asyncio.Queue[Completion | Failure]
) -> None:
    finished.put_nowait(await _complete(job, prompt))


async def _complete(job: GenerateJob, prompt: SlotPrompt) -> Completion | Failure:
    provider = PROVIDERS[job.sampling.provider]()
    try:
        return await provider.complete(prompt, job.sampling)
    except ProviderFailure as failure:
        return Failure(slot=prompt.slot, kind=failure.kind, message=str(failure))
    except Exception as error:
        # A provider's own fault must not take the group's other slots with it. The text of a
        # transport's exception may hold headers, so only its class travels.
        return Failure(
            slot=prompt.slot,
            kind=FailureKind.WORKER_ERROR,
            message=f"the {job.sampling.provider} provider raised {type(error).__name__}",
        )
