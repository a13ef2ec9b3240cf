"""What an answer means for the caller."""

from enum import StrEnum
from typing import NamedTuple

from shared.messages import FailureKind


class Verdict(StrEnum):
    """What to do with an answer."""

    #: It holds a sample: use it.
    COMPLETION = "completion"
    #: It holds none: the same bytes may be sent again, after the wait.
    RETRY = "retry"
    #: This sample is missing: sending it again changes nothing.
    REJECT = "reject"
    #: The run pauses, its state kept, until a person has done what the message says.
    STOP = "stop"


class Scope(StrEnum):
    """Whom a wait or a stop concerns."""

    #: This request only.
    REQUEST = "request"
    #: Everyone who asks this model.
    MODEL = "model"
    #: Everyone who uses this key.
    ACCOUNT = "account"


class Billed(StrEnum):
    """Whether the call cost money, by what the endpoint says or promises."""

    NO = "no"
    YES = "yes"
    #: Nobody can tell: what was reserved stays reserved until it is settled or expires.
    PERHAPS = "perhaps"


class Answer(NamedTuple):
    """What an answer under status 200 holds. Made by ``classify``, read by the provider."""

    #: What the model wrote, without its reasoning; empty unless the verdict is completion.
    text: str
    #: Whether there was reasoning: in a field of its own, or as markup before the text.
    reasoned: bool
    #: Length of all that was written, reasoning included: what an estimate of the bill goes by.
    characters: int
    #: Whether the model refused, in the field made for it.
    refusal: bool
    #: The model that answered, usually a dated snapshot of what was asked; "" if not said.
    model: str
    #: Who hosts it; "" if not said.
    provider: str
    #: Any string, or None.
    finish_reason: str | None
    native_finish_reason: str | None
    #: None = not said, which is not 0: a cost computed from it would be wrong.
    prompt_tokens: int | None
    completion_tokens: int | None
    #: USD. None = unknown, never free.
    cost_usd: float | None
    #: What ``ChatClient.generation_cost`` takes; "" if not said.
    generation_id: str
    #: Whether OpenRouter's response cache answered: the call was free.
    cache_hit: bool
    #: The generation that the cache repeated; "" if none.
    source_id: str
    #: Whether ``max_tokens`` cut the text.
    truncated: bool


class Classified(NamedTuple):
    """The verdict on one call. Made by ``classify`` and ``transport_failure``."""

    verdict: Verdict
    #: A stable short name to count by: a key of ``shared.wire.faults.RULES``.
    fault: str
    scope: Scope
    #: Seconds that the endpoint asks to wait, 0 to 24 h; None = it names no time.
    wait_s: float | None
    #: One line for people: what happened and what to do. No key, no user id.
    message: str
    #: What the slot's Failure says if it is rejected or its retries run out.
    kind: FailureKind
    billed: Billed
    #: Whether too much was sent at once: fewer calls at the same time would help.
    throttled: bool
    #: Whether a retry may be answered from the response cache. False: a whole answer arrived and
    #: is useless, and the cache would repeat it; call ``post_chat`` with ``fresh=True``.
    replay: bool
    #: What the answer said; without text unless the verdict is completion, but with its cost.
    answer: Answer | None

    @property
    def cost_usd(self) -> float | None:
        """What the call cost; None if that is not known."""
        if self.billed is Billed.NO:
            return 0.0
        return self.answer.cost_usd if self.answer is not None else None
