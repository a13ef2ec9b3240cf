"""Completions from a hosted model: OpenRouter, or any endpoint that speaks its language."""

import time

from shared.keys import slot_field
from shared.messages import Completion, Failure, FailureKind, GenerateJob, Sampling, SlotPrompt
from shared.wire.replies import GENERATED, cut_before_text, generated_and_quality
from shared.wire.requests import chat_body
from worker.calls import Ask, Caller, Reply, Role
from worker.failures import ProviderFailure
from worker.slots import Commit, Held


class OpenRouterProvider:
    """One governed call per slot."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def complete(self, prompt: SlotPrompt, job: GenerateJob, held: Held) -> None:
        """Ask the model, and commit what it wrote and its own estimate of the quality, if any.

        Raises ProviderFailure without an answer, Stopped when the whole run must stop, Withdrawn
        when the slot is no longer this worker's to do.
        """
        started = time.monotonic()
        call = f"{job.run}/s{job.step:03d}/{job.group}/k{prompt.slot}/generate"
        body = chat_body(
            prompt.messages,
            job.sampling,
            rollout=call,
            run=job.run,
            seed=prompt.seed if job.sampling.send_seed else None,
            schema=GENERATED if job.sampling.self_report else None,
            openrouter=job.sampling.dialect == "openrouter",
        )
        role: Role = "eval" if job.purpose == "eval" else "generate"

        def keep(outcome: Reply | ProviderFailure) -> Commit:
            field = slot_field("generate", prompt.slot)
            if isinstance(outcome, ProviderFailure):
                return held.commit({field: outcome.of_slot(prompt.slot)})
            seconds = time.monotonic() - started
            completion = _completion(prompt.slot, job.sampling, outcome, seconds)
            return held.commit({field: completion})

        await self._caller.ask(Ask(call, role, body, job.sampling, job.limits, held), keep)


def _completion(
    slot: int, sampling: Sampling, reply: Reply, seconds: float
) -> Completion | Failure:
    answer = reply.answer
    generated = generated_and_quality(answer.text, sampling.self_report)
    if cut := cut_before_text(generated, answer.finish_reason, sampling.max_tokens):
        return ProviderFailure(FailureKind.REASONED_OUT, cut, reply.attempts).of_slot(slot)
    return Completion(
        slot=slot,
        text=generated.text,
        quality=generated.quality,
        model=answer.model or sampling.model,
        provider=answer.provider or "unknown",
        finish_reason=answer.finish_reason,
        native_finish_reason=answer.native_finish_reason,
        prompt_tokens=answer.prompt_tokens or 0,
        completion_tokens=answer.completion_tokens or 0,
        cost_usd=reply.cost_usd,
        seconds=seconds,
        attempts=reply.attempts,
    )
