"""The most that a chat request may cost, before it leaves. Pure.

A token has at least one byte, so the bytes of a body are a bound on its prompt, whatever the
language. What would be billed beside the tokens of the texts has no bound, and gets no quote.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from orchestrator.catalog import Catalog, Dialect
from orchestrator.serve.errors import Refused
from orchestrator.serve.requests import Fields
from shared.messages import Price, Sampling
from shared.wire.money import NANO, Ceiling, cost_nusd

#: The price of a slug; None: unknown.
PriceOf = Callable[[str], Price | None]
# Fields of OpenAI's and OpenRouter's APIs that are billed beside the tokens, or change their price.
_BESIDE_TOKENS = ("audio", "plugins", "prediction", "preset", "web_search_options")
_USUAL_TIERS = (None, "auto", "default", "flex")
_LIMITS = ("max_tokens", "max_completion_tokens")
_MANY = 10**9


class Quote(NamedTuple):
    """What one request may cost."""

    #: As it leaves.
    body: bytes
    #: The models that may answer it: what their bills teach holds for the next request to them.
    models: str
    #: The price, and the tokens that all its answers may have together.
    sampling: Sampling
    #: None: not known.
    most: Ceiling | None


def prices_of(given: Mapping[str, tuple[float, float]], catalog: Catalog) -> PriceOf:
    """The prices in dollars per million tokens that were ``given``, else those of the list."""

    def price_of(slug: str) -> Price | None:
        if slug in given:
            into, out = given[slug]
            return Price(prompt_usd=into / 1e6, completion_usd=out / 1e6)
        model = catalog.find(slug)
        return model.price if model else None

    return price_of


def limited(fields: Fields, max_tokens: int) -> Fields:
    """The request with a bound on its answer: its own, else ``max_tokens``."""
    if any(fields.get(name) is not None for name in _LIMITS):
        return fields
    # A null is a field that the endpoint may read as no bound.
    return {**{k: v for k, v in fields.items() if k not in _LIMITS}, "max_tokens": max_tokens}


def quote(fields: Fields, body: bytes, price_of: PriceOf, dialect: Dialect) -> Quote:
    """The most that a request may cost.

    Raises Refused where that cannot be known: no price, no bound, or something billed besides.
    """
    models = _models(fields)
    price = _dearest(models, price_of)
    for name in _besides(fields):
        raise _unbounded(f"what {name} costs is not known before")
    answers = max(_count(fields, "n", 1), _count(fields, "best_of", 1))
    tokens = max(_count(fields, name, 0) for name in _LIMITS)
    if not tokens:
        raise _unbounded("the request bounds no answer: give it max_tokens")
    answer = math.ceil(price.completion_usd * tokens * answers * NANO)
    prompt = cost_nusd(price, len(body), 0) * answers
    return Quote(
        body,
        ", ".join(models),
        Sampling(
            provider="openrouter",
            model=models[0],
            dialect=dialect,
            max_tokens=tokens * answers,
            price=price,
        ),
        Ceiling(fixed_nusd=prompt, completion_nusd=answer),
    )


def unbounded(fields: Fields, body: bytes, price_of: PriceOf, dialect: Dialect) -> Quote:
    """The quote of a request whose most is not known, on a server that lets it through."""
    named = fields.get("model")
    model = named if isinstance(named, str) else ""
    sampling = Sampling(
        provider="openrouter", model=model, dialect=dialect, max_tokens=1, price=price_of(model)
    )
    return Quote(body, model, sampling, None)


def _models(fields: Fields) -> tuple[str, ...]:
    others = fields.get("models") or []
    named = [fields["model"]] if fields.get("model") else []
    if not isinstance(others, list) or not all(isinstance(each, str) for each in others):
        raise _unbounded("'models' is no list of names")
    return (*named, *others)


def _dearest(models: tuple[str, ...], price_of: PriceOf) -> Price:
    prices = []
    for model in models:
        price = price_of(model)
        if price is None:
            raise _unbounded(
                f"the price of {model[:200]!r} is not known: the server may be started with"
                " --price MODEL=IN,OUT"
            )
        prices.append(price)
    return Price(
        prompt_usd=max(price.prompt_usd for price in prices),
        completion_usd=max(price.completion_usd for price in prices),
        request_usd=max(price.request_usd for price in prices),
    )


def _besides(fields: Fields) -> list[str]:
    """What of the request is billed by more than the tokens of its texts."""
    found = [f"'{name}'" for name in _BESIDE_TOKENS if fields.get(name)]
    if fields.get("modalities") not in (None, [], ["text"]):
        found.append("'modalities'")
    if fields.get("service_tier") not in _USUAL_TIERS:
        found.append("'service_tier'")
    if any(name.partition(":")[2] == "online" for name in _models(fields)):
        found.append("':online'")
    given = fields.get("tools") or []
    tools = given if isinstance(given, list) else [given]
    kinds = [tool.get("type") if isinstance(tool, dict) else None for tool in tools]
    if any(kind not in ("function", "custom") for kind in kinds):
        found.append("a tool that the endpoint runs")
    if not all(_is_text(message) for message in fields["messages"]):
        found.append("a message that is not only text")
    return found


def _is_text(message: Fields) -> bool:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    kinds = [part.get("type") if isinstance(part, dict) else None for part in parts]
    texts = all(kind in ("text", "refusal") for kind in kinds)
    return texts and isinstance(content, str | list | None) and not message.get("audio")


def _count(fields: Fields, name: str, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if type(value) is not int or not 1 <= value <= _MANY:
        raise _unbounded(f"{name!r} must be a whole number from 1")
    return value


def _unbounded(why: str) -> Refused:
    said = f"this server has a budget, and cannot tell what the request may cost: {why}"
    return Refused(400, "no_ceiling", said)
