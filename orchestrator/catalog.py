"""What an endpoint's list of models says: prices, parameters, who is about to go.

Every field may be missing, a string or nonsense: what cannot be read is unknown, never free.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.messages import Price

Dialect = Literal["openrouter", "openai"]


@dataclass(frozen=True)
class Model:
    """One model as listed."""

    slug: str
    #: None: unknown, or chosen per request (a router's price is -1).
    price: Price | None = None
    #: None: the list does not say.
    parameters: frozenset[str] | None = None
    #: Whether it reasons, and whether that can be switched off.
    reasoning: Literal["no", "optional", "mandatory"] = "no"
    #: Date after which it is gone, as listed.
    expires: str | None = None

    def takes(self, parameter: str) -> bool:
        """Whether the model is known to take a parameter."""
        return self.parameters is not None and parameter in self.parameters


@dataclass(frozen=True)
class Catalog:
    """An endpoint's models by slug."""

    dialect: Dialect
    models: Mapping[str, Model]

    def find(self, slug: str) -> Model | None:
        """The model of a slug, also with a variant such as ``:nitro``; None if it is not listed."""
        base, _, variant = slug.rpartition(":")
        routed = base if variant in {"nitro", "floor", "online", "exacto"} else slug
        return self.models.get(slug) or self.models.get(routed)

    def near(self, slug: str) -> list[str]:
        """Listed slugs that look alike."""
        return difflib.get_close_matches(slug, self.models, n=3, cutoff=0.4)


def parse_catalog(payload: object) -> Catalog:
    """The answer of GET /models of any endpoint. An unknown shape is an empty catalog.

    OpenRouter's list carries prices; where no entry does, the endpoint speaks plain OpenAI.
    """
    data = payload.get("data") if isinstance(payload, dict) else payload
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    models = {m.slug: m for entry in entries if (m := _model(entry)) is not None}
    priced = any("pricing" in entry for entry in entries)
    return Catalog("openrouter" if priced else "openai", models)


def dollars(value: object) -> float | None:
    """A price as a number or numeric string; None for anything negative, infinite or else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _model(entry: Mapping[str, Any]) -> Model | None:
    slug = entry.get("id")
    if not isinstance(slug, str) or not slug:
        return None
    listed = entry.get("supported_parameters")
    parameters = frozenset(map(str, listed)) if isinstance(listed, list) else None
    expires = entry.get("expiration_date")
    return Model(
        slug=slug,
        price=_price(entry.get("pricing")),
        parameters=parameters,
        reasoning=_reasoning(entry, parameters or frozenset()),
        expires=str(expires) if expires else None,
    )


def _price(pricing: object) -> Price | None:
    if not isinstance(pricing, dict):
        return None
    prompt, completion = dollars(pricing.get("prompt")), dollars(pricing.get("completion"))
    if prompt is None or completion is None:
        return None
    listed = pricing.get("request")
    request = dollars(0 if listed is None else listed)
    if request is None:
        return None
    return Price(prompt_usd=prompt, completion_usd=completion, request_usd=request)


def _reasoning(
    entry: Mapping[str, Any], parameters: frozenset[str]
) -> Literal["no", "optional", "mandatory"]:
    described = entry.get("reasoning")
    if isinstance(described, dict):
        return "mandatory" if described.get("mandatory") is True else "optional"
    return "optional" if "reasoning" in parameters else "no"
