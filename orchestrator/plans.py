"""What a trained policy asks for, and what it gets: a plan for one text, and a reply to it."""

import time
from typing import TYPE_CHECKING

from pydantic import Field, computed_field

from orchestrator.prompts import Prompt
from shared.messages import Message

if TYPE_CHECKING:
    from orchestrator.asking import Asker


class Plan(Message):
    """What to ask for, for one text. Made by ``Policy.plan``."""

    text: str
    domain: str
    #: As it is written in the domain.
    template: str
    concepts: tuple[str, ...]
    features: tuple[str, ...]
    #: Exact log pi of this choice under the policy, in nats; of the greedy one too.
    log_prob: float
    #: The same seed, text and policy give the same plan; models that take a seed are asked with it.
    #: None: greedy, and none was given.
    seed: int | None
    policy_version: int
    #: Whether the messages ask for {"generated": text, "quality": 0 to 1}, not for the text alone.
    self_report: bool
    #: The messages, and the filled template that the template engine answers.
    prompt: Prompt = Field(exclude=True, repr=False)

    # mypy knows no decorators above a property; pydantic wants this order.
    @computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def messages(self) -> list[dict[str, str]]:
        """What to send, as chat clients take it: ``[{"role": "system", "content": ...}, ...]``."""
        return [message.model_dump() for message in self.prompt.messages]


class Reply(Message):
    """A text for a plan. Made by ``Policy.generate``."""

    text: str
    #: The model's own estimate in [0, 1]; None if it gave none.
    quality: float | None
    #: All calls for it included; None is unknown, never free.
    cost_usd: float | None
    #: The model that answered, as it calls itself.
    model: str
    #: Waits and repeated calls included.
    seconds: float
    #: "length": max_tokens cut the text.
    finish_reason: str | None
    plan: Plan


def drafted(plan: Plan) -> Reply:
    """What the template engine answers: the plan's template, filled."""
    return Reply(
        text=plan.prompt.draft,
        quality=None,
        cost_usd=0.0,
        model="template",
        seconds=0.0,
        finish_reason="stop",
        plan=plan,
    )


async def answered(asker: "Asker", plan: Plan) -> Reply:
    """What a model answers. Raises NoAnswer and EnvironmentNotReady as ``Asker.ask`` does."""
    from orchestrator.asking import NoAnswer
    from shared.messages import FailureKind
    from shared.wire.replies import cut_before_text, generated_and_quality

    started = time.monotonic()
    found = await asker.ask(plan.prompt.messages, plan.seed)
    written = generated_and_quality(found.answer.text, plan.self_report)
    if cut := cut_before_text(written, found.answer.finish_reason, asker.max_tokens):
        raise NoAnswer(FailureKind.REASONED_OUT.value, cut, found.cost_usd)
    return Reply(
        text=written.text,
        quality=written.quality,
        cost_usd=found.cost_usd,
        model=found.answer.model or asker.model,
        seconds=time.monotonic() - started,
        finish_reason=found.answer.finish_reason,
        plan=plan,
    )
