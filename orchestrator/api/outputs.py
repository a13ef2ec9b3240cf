"""What the modules hand out: dictionaries as in the seed, which remember where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.domains import Domain
from orchestrator.matching import NO_MATCH_QUALITY, NO_MATCH_TEXT
from orchestrator.rollouts import Example, Group, Rollout
from shared.messages import Reference


@dataclass(frozen=True)
class Origin:
    """Where an output comes from. Made by the generator, read by the reward and the optimizer."""

    #: Token of the model that made it.
    maker: str
    example: Example
    #: What was asked: the example's text through the prompt template.
    asked: str
    #: The domain's own words.
    terms: tuple[str, ...] = ()
    #: The group it was drawn in and its rollout; None if no domain matched.
    drawn: tuple[Group, Rollout] | None = None


class TextOutput(dict[str, Any]):
    """A generated text: ``{"generated": str, "quality": float | None, "domain": ..., ...}``.

    ``quality`` is what the generator says of itself; the template engine says nothing.
    """

    def __init__(self, values: Mapping[str, Any], origin: Origin | None = None) -> None:
        super().__init__(values)
        self.origin = origin

    @property
    def input(self) -> dict[str, Any]:
        """The input that it answers; empty if it was not made by a model."""
        return input_of(self.origin.example) if self.origin else {}

    @property
    def reference(self) -> Reference | None:
        """The reference output of the training data, if there is one; several of which any is
        right.
        """
        return self.origin.example.reference if self.origin else None


class RewardResult(dict[str, Any]):
    """A score: ``{"reward": float, "feedback": str, "parts": {name: float}}``."""


def input_of(example: Example) -> dict[str, Any]:
    """The input of an example: its text, its domain if it names one, and its further fields."""
    domain = {} if example.domain is None else {"domain": example.domain}
    return {"text": example.text, **domain, **example.extra}


def output_of(maker: str, domain: Domain, asked: str, group: Group, rollout: Rollout) -> TextOutput:
    """The output of a rollout that has a completion."""
    assert rollout.completion is not None, "a rollout without a completion has no output"
    values = {
        "generated": rollout.completion.text,
        "quality": rollout.completion.quality,
        "domain": domain.name,
        "concepts": [domain.concepts[index] for index in rollout.action.concepts],
        "features": [domain.features[index] for index in rollout.action.features],
        "template": domain.templates[rollout.action.template].text,
        "model": rollout.completion.model,
    }
    return TextOutput(
        values, Origin(maker, group.example, asked, domain.terms(), drawn=(group, rollout))
    )


def no_match(maker: str, example: Example, asked: str) -> TextOutput:
    """The honest answer where no domain matches: no engine was asked, and it never trains."""
    values = {
        "generated": NO_MATCH_TEXT,
        "quality": NO_MATCH_QUALITY,
        "domain": None,
        "concepts": [],
        "features": [],
        "template": None,
        "model": None,
    }
    return TextOutput(values, Origin(maker, example, asked))
