"""The content of ``policy.json``: a trained policy that stands by itself, for any language.

A greedy prompt is a list of pieces, text between what a reader puts in, so that nothing in a
template can be mistaken for a placeholder. ``docs/policy.schema.json`` is made from these models.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import ConfigDict, Field, ValidationError, model_validator

from orchestrator import policy
from orchestrator.domains import Domain
from orchestrator.prompts import Gap, outline, with_self_report
from orchestrator.rollouts import Action, Params
from orchestrator.space import Space
from orchestrator.strict_json import parse
from orchestrator.templates import Template
from orchestrator.text_files import read_text
from shared.errors import UsageError
from shared.messages import Message

#: What is written. Files of the first format lack ``generator`` and ``greedy.prompt``.
FORMAT: Literal["concept-grpo/policy@2"] = "concept-grpo/policy@2"


#: Beyond it, sums of exponentials are no longer exact; training stays far below.
LARGEST_LOGIT = 1e6


class _Part(Message):
    """The sentences under the fields are the schema's descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Generator(_Part):
    """How the model was asked in training, after the run's config."""

    model: Annotated[str, Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)]
    temperature: float | None = None
    """None = the provider's default."""
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    """Texts at which an answer ended."""
    send_seed: Literal["auto"] | bool = "auto"
    """Whether each call had a seed; auto = if the endpoint's list said that the model takes one."""
    reply_format: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    """How an answer was asked for that is to be an object."""
    routing: dict[str, Any] = Field(default_factory=dict)
    """OpenRouter's provider options."""


class Logits(_Part):
    """The policy itself: theta (n,), phi (T,), eta (m,), in the order of the names beside it."""

    concepts: tuple[float, ...]
    templates: tuple[float, ...]
    features: tuple[float, ...]


class Insert(_Part):
    """What a reader puts into the greedy prompt here."""

    insert: Gap
    """The user's text, or the topic: the longest phrase of the domain in it, else the domain's
    name, and that too where the phrase is one of the greedy concepts. Topic: with a capital."""


class Greedy(_Part):
    """The deployed choice: the likeliest concepts, of their features the likeliest, and the
    likeliest template."""

    concepts: tuple[str, ...]
    template: Annotated[int, Field(ge=0)]
    """Index into the templates."""
    features: tuple[str, ...]
    prompt: tuple[str | Insert, ...] | None = None
    """The user message; the system message is ``base_prompt``. None in the first format."""


class DomainPolicy(_Part):
    """What may be asked for about one subject, and how often the policy asks for it."""

    name: str
    aliases: tuple[str, ...]
    concepts: dict[str, float]
    """Concept -> probability that a prompt asks for it; for people: ``logits`` is what counts."""
    templates: Annotated[tuple[str, ...], Field(min_length=1)]
    template_probabilities: tuple[float, ...]
    relationships: dict[str, tuple[str, ...]]
    """Concept -> the features that go with it."""
    features: tuple[str, ...]
    logits: Logits
    greedy: Greedy

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for what, logits, names in (
            ("concepts", self.logits.concepts, self.concepts),
            ("templates", self.logits.templates, self.templates),
            ("features", self.logits.features, self.features),
        ):
            if len(logits) != len(names):
                raise ValueError(f"{len(logits)} logits for {len(names)} {what}")
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature stands twice")
        if self.relationships.keys() != self.concepts.keys():
            raise ValueError("relationships and concepts name different concepts")
        if stray := {f for row in self.relationships.values() for f in row} - {*self.features}:
            raise ValueError(f"relationships name {min(stray)!r}, which is not in features")
        return self


class PolicyDocument(_Part):
    """All of ``policy.json``. No time, no path, no run name: equal runs give equal bytes."""

    format: Literal["concept-grpo/policy@1", "concept-grpo/policy@2"]
    policy_version: Annotated[int, Field(ge=0)]
    """Updates that the policy has seen."""
    seed: int
    """Of the run."""
    base_prompt: str
    """The system message of every prompt, byte for byte as in training."""
    self_report: bool
    """Whether it asks for a JSON object {"generated": text, "quality": 0 to 1} in place of the
    text alone."""
    concepts_per_prompt: Annotated[int, Field(ge=1)]
    features_per_prompt: Annotated[int, Field(ge=0)]
    deployed: Literal["greedy"]
    generator: Generator | None = None
    """None = the template engine, or a file of the first format."""
    domains: Annotated[tuple[DomainPolicy, ...], Field(min_length=1)]
    match: Literal["words", "always"] | None = None
    """How a text finds its domain: by the words that it says, or always the one domain there is;
    None = always where there is one, words where there are several."""

    @model_validator(mode="before")
    @classmethod
    def _says_how_models_were_asked(cls, values: Any) -> Any:
        """Files without ``self_report``: every model was asked for one, beside the base prompt."""
        if not isinstance(values, Mapping) or "self_report" in values:
            return values
        asked, base = values.get("generator") is not None, values.get("base_prompt")
        system = with_self_report(base) if asked and isinstance(base, str) else base
        return {**values, "base_prompt": system, "self_report": asked}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len({domain.name for domain in self.domains}) < len(self.domains):
            raise ValueError("a domain stands twice")
        if self.match == "always" and len(self.domains) != 1:
            raise ValueError("all texts are to match one domain, and there are several")
        return self


class Trained(NamedTuple):
    """One domain's policy, ready to be drawn from."""

    domain: Domain
    space: Space
    params: Params


def read(path: Path) -> PolicyDocument:
    """A policy file. Raises UsageError for one that is missing, or is none."""
    return validated(parse(read_text(path, (".json",)), path), str(path))


def validated(values: Any, where: str) -> PolicyDocument:
    """The document that JSON values hold. Raises UsageError with ``where`` and the first fault."""
    found = values.get("format") if isinstance(values, Mapping) else None
    try:
        return PolicyDocument.model_validate(values)
    except ValidationError as error:
        if not isinstance(found, str) or not found.startswith("concept-grpo/policy@"):
            raise UsageError(
                f"{where} is no policy (format {found!r}); give the policy.json of a run, or what"
                " `orchestrator export` wrote"
            ) from None
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the policy"
        raise UsageError(
            f"{where}: {place}: {first['msg']}; export the policy again, with this version"
        ) from None


def described(domain: Domain, space: Space, params: Params) -> DomainPolicy:
    """One domain of the document."""
    best = policy.greedy(params, space)
    return DomainPolicy(
        name=domain.name,
        aliases=domain.aliases,
        concepts=dict(zip(domain.concepts, policy.inclusion(params, space).tolist(), strict=True)),
        templates=tuple(template.text for template in domain.templates),
        template_probabilities=tuple(policy.template_probabilities(params).tolist()),
        relationships={
            concept: tuple(domain.features[feature] for feature in related)
            for concept, related in zip(domain.concepts, domain.related, strict=True)
        },
        features=domain.features,
        logits=Logits(
            concepts=tuple(params.theta.tolist()),
            templates=tuple(params.phi.tolist()),
            features=tuple(params.eta.tolist()),
        ),
        greedy=_greedy(domain, best),
    )


def trained(document: PolicyDocument, domain: DomainPolicy, where: str) -> Trained:
    """A domain of the document as the policy's functions take it.

    Raises UsageError naming ``where`` if it cannot be drawn from.
    """
    place = f"{where}: domain {domain.name!r}"
    index = {feature: at for at, feature in enumerate(domain.features)}
    content = Domain(
        name=domain.name,
        aliases=domain.aliases,
        concepts=tuple(domain.concepts),
        templates=tuple(
            Template.parse(text, f"{place}, template {number}")
            for number, text in enumerate(domain.templates, 1)
        ),
        features=domain.features,
        related=tuple(
            tuple(sorted(index[feature] for feature in domain.relationships[concept]))
            for concept in domain.concepts
        ),
        source=where,
    )
    logits = (domain.logits.concepts, domain.logits.templates, domain.logits.features)
    if any(abs(logit) > LARGEST_LOGIT for row in logits for logit in row):
        raise UsageError(f"{place}: a logit is beyond {LARGEST_LOGIT:g}; export the policy again")
    try:
        space = content.space(document.concepts_per_prompt, document.features_per_prompt)
    except ValueError as error:
        raise UsageError(f"{place}: {error}") from None
    return Trained(content, space, Params(*(np.array(row, dtype=np.float64) for row in logits)))


def plain_prompt(domain: DomainPolicy, text: str) -> str:
    """The greedy user message around any text of the domain.

    Raises ValueError for a domain of the first format.
    """
    if domain.greedy.prompt is None:
        raise ValueError("a policy of the first format holds no prompt")
    name = domain.name
    given = {
        Gap.TEXT: text,
        Gap.TOPIC: name,
        Gap.TOPIC_AT_START: name[:1].upper() + name[1:],
    }
    return "".join(
        piece if isinstance(piece, str) else given[piece.insert] for piece in domain.greedy.prompt
    )


def schema() -> dict[str, Any]:
    """JSON Schema of the document."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **PolicyDocument.model_json_schema()}


def _greedy(domain: Domain, best: Action) -> Greedy:
    return Greedy(
        concepts=tuple(domain.concepts[i] for i in best.concepts),
        template=best.template,
        features=tuple(domain.features[i] for i in best.features),
        prompt=tuple(
            Insert(insert=piece) if isinstance(piece, Gap) else piece
            for piece in outline(domain, best)
        ),
    )
