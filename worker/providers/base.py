"""The seam between a slot and whatever writes its completion."""

from typing import Protocol

from shared.messages import Completion, GenerateJob, SlotPrompt
from worker.slots import Held


class Provider(Protocol):
    """Writes completions. One instance serves all slots of a worker at the same time."""

    async def complete(self, prompt: SlotPrompt, job: GenerateJob, held: Held) -> Completion | None:
        """Answer one slot; None = the answer is committed already, together with its cost.

        Raises ProviderFailure if there is no answer; cancelling it is safe.
        """
        ...
