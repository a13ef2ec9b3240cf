"""The offline provider: it fills the template, no model is called."""

import asyncio
import time

from shared.messages import Completion, GenerateJob, SlotPrompt
from worker.slots import Held


class TemplateProvider:
    """Answers with the prompt's draft: the action's template filled with its concepts and features.

    Free, offline, and the same text for the same action. What it writes is only what the policy
    chose, so a run on it shows the whole loop at work and says nothing about any model.
    """

    async def complete(self, prompt: SlotPrompt, job: GenerateJob, held: Held) -> Completion:
        """Return the draft after ``latency_s`` seconds. Never fails; costs nothing.

        It does not judge itself (``quality`` is None) and counts words as tokens.
        """
        started = time.monotonic()
        await asyncio.sleep(job.sampling.latency_s)
        return Completion(
            slot=prompt.slot,
            text=prompt.draft,
            model="template",
            provider="template",
            prompt_tokens=sum(len(message.content.split()) for message in prompt.messages),
            completion_tokens=len(prompt.draft.split()),
            cost_usd=0.0,
            seconds=time.monotonic() - started,
        )
