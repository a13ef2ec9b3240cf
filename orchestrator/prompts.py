"""An action as chat messages and as a draft: the prompt side of one slot.

What users and data write is put in as it stands; nothing here formats it.
"""

import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.domains import Domain
from orchestrator.matching import topic
from orchestrator.rollouts import PLAIN, Action, Example
from orchestrator.wording import listed
from shared.messages import ChatMessage, SlotPrompt

if TYPE_CHECKING:
    from orchestrator.config import RunConfig

#: The seed's.
DEFAULT_BASE_PROMPT = "Generate a high-quality explanation."

#: How a model is asked for its text and its own estimate of it. Plain text is accepted too.
REPLY_AS_JSON = (
    'Answer with one JSON object: {"generated": "<your text>", "quality": <number from 0 to 1>},'
    " where quality is your honest estimate of how good the text is."
)


# No text that people write holds NUL.
_GAP = "\0"
_GAPS = re.compile(f"(text|topic|Topic){_GAP}")


class Gap(StrEnum):
    """A place in an outline."""

    #: For the user's text.
    TEXT = "text"
    #: For what it is about.
    TOPIC = "topic"
    #: The same with a capital letter.
    TOPIC_AT_START = "Topic"


class Prompt(NamedTuple):
    """What a provider gets for one action."""

    messages: tuple[ChatMessage, ...]
    #: The template, filled: the skeleton in the messages, and what the template engine answers.
    draft: str


def build(
    example: Example, domain: Domain, action: Action, base_prompt: str = DEFAULT_BASE_PROMPT
) -> Prompt:
    """A system message (the base prompt) and a user message: the text, then what the action asks.

    A feature that is also one of the chosen concepts is not asked for twice. {topic} is what the
    text is about, or the domain's name where that is one of the chosen concepts. ``PLAIN`` asks for
    nothing beside the text.
    """
    system = ChatMessage(role="system", content=base_prompt)
    if action == PLAIN:
        return Prompt((system, ChatMessage(role="user", content=example.text)), example.text)
    concepts, features = _asked_for(domain, action)
    subject = topic(example.text, domain)
    if subject.casefold() in {concept.casefold() for concept in concepts}:
        subject = domain.name
    draft = domain.templates[action.template].fill(subject, concepts, features)
    return Prompt(
        messages=(
            system,
            ChatMessage(role="user", content=_request(example.text, concepts, features, draft)),
        ),
        draft=draft,
    )


def outline(domain: Domain, action: Action) -> tuple[str | Gap, ...]:
    """The user message of ``build`` for every text: what is fixed, and gaps between.

    {topic} is a gap also where ``build`` puts the domain's name, since one of the chosen concepts
    is what the text is about.
    """
    concepts, features = _asked_for(domain, action)
    draft = domain.templates[action.template].fill(f"topic{_GAP}", concepts, features)
    pieces = _GAPS.split(_request(f"text{_GAP}", concepts, features, draft))
    # Split at groups: every second piece is a gap's name.
    return tuple(Gap(piece) if at % 2 else piece for at, piece in enumerate(pieces) if piece)


def slot_prompt(
    example: Example,
    domain: Domain,
    action: Action,
    base_prompt: str,
    slot: int,
    seed: int,
) -> SlotPrompt:
    """The prompt of one slot, ready to travel; ``seed`` is the sampling seed."""
    messages, draft = build(example, domain, action, base_prompt)
    return SlotPrompt(slot=slot, messages=messages, draft=draft, seed=seed)


def system_message(config: "RunConfig") -> str:
    """The system message of every prompt of a run, in training, evaluation and use."""
    if config.asks_self_report():
        return with_self_report(config.base_prompt)
    return config.base_prompt


def with_self_report(base_prompt: str) -> str:
    """A base prompt that asks for the text together with the writer's own estimate of it."""
    return f"{base_prompt}\n\n{REPLY_AS_JSON}"


def _asked_for(domain: Domain, action: Action) -> tuple[list[str], list[str]]:
    """The concepts, and the features that are not among them."""
    concepts = [domain.concepts[index] for index in action.concepts]
    chosen = {concept.casefold() for concept in concepts}
    named = [domain.features[index] for index in action.features]
    return concepts, [feature for feature in named if feature.casefold() not in chosen]


def _request(text: str, concepts: list[str], features: list[str], draft: str) -> str:
    asked = [f"Build the answer on: {listed(concepts)}."]
    if features:
        asked.append(f"Mention: {listed(features)}.")
    return "\n\n".join(
        [
            text,
            "\n".join(asked),
            "Follow this skeleton: keep its shape and about its length, but answer the question "
            "above, in better sentences, and correct what does not fit it.",
            f"Skeleton:\n{draft}",
        ]
    )
