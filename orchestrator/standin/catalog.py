"""The models of the stand-in: what they cost, what they take, and how ``GET /models`` lists them.

Those with a maker's name are the ones the project recommends, at their prices of November 2026.
Those under ``stand-in/`` each have one property that a preflight must cope with.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

SAMPLING = frozenset(
    ("max_tokens", "temperature", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty")
)
FORMATS = frozenset(("response_format", "structured_outputs"))
THINKING = frozenset(("reasoning", "include_reasoning"))
#: Parameters that an endpoint may lack; others of a request are OpenRouter's own business.
PARAMETERS = SAMPLING | FORMATS | THINKING | {"logprobs", "top_logprobs", "tools", "tool_choice"}
EFFORTS = ["high", "medium", "low"]
CREATED = 1_780_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """One entry. Prices are whole nano-dollars: per token, and per request."""

    slug: str
    prompt_nano: int
    completion_nano: int
    request_nano: int = 0
    snapshot: str = "20261001"
    provider: str = "StandIn"
    parameters: frozenset[str] = SAMPLING | FORMATS
    context: int = 131_072
    max_completion: int = 32_768
    reasoning: Mapping[str, Any] | None = None
    #: Above so many prompt tokens, everything costs ``long_factor`` times as much.
    long_prompt: int | None = None
    long_factor: int = 1
    expires_in_days: int | None = None
    #: What the list says instead of the true prices.
    listed: Mapping[str, Any] | None = None
    #: Listed only on request: one entry like this, and the official SDK reads none of the list.
    malformed: bool = False
    #: In the list, but nobody serves it.
    gone: bool = False
    group: str = field(default="Other")

    @property
    def served_as(self) -> str:
        """The dated name that answers carry."""
        name, colon, variant = self.slug.partition(":")
        return f"{name}-{self.snapshot}{colon}{variant}"

    @property
    def free(self) -> bool:
        """Whether it is one of the free variants, which have a quota per day."""
        return self.slug.endswith(":free")

    def costs(self, prompt_tokens: int, completion_tokens: int) -> tuple[int, int]:
        """Nano-dollars for the prompt, with the price of the request, and for the completion."""
        long = self.long_prompt is not None and prompt_tokens > self.long_prompt
        factor = self.long_factor if long else 1
        prompt = self.request_nano + factor * self.prompt_nano * prompt_tokens
        return prompt, factor * self.completion_nano * completion_tokens


_OPTIONAL = {"mandatory": False, "default_enabled": False, "supported_efforts": EFFORTS}
_MANDATORY = {"mandatory": True, "default_enabled": True, "supported_efforts": EFFORTS}
_NO_SAMPLING = frozenset(("max_tokens", "stop")) | FORMATS

_MODELS = (
    Model(
        "anthropic/claude-haiku-5.5",
        100,
        500,
        snapshot="20261007",
        provider="Anthropic",
        parameters=_NO_SAMPLING | THINKING,
        context=400_000,
        reasoning=_OPTIONAL,
        long_prompt=100_000,
        long_factor=5,
        group="Claude",
    ),
    Model(
        "mistralai/mistral-small-3.2-24b-instruct",
        100,
        300,
        snapshot="2506",
        provider="Mistral",
        group="Mistral",
    ),
    Model("qwen/qwen3-30b-a3b-instruct-2507", 90, 300, provider="DeepInfra", group="Qwen3"),
    Model("meta-llama/llama-3.1-8b-instruct", 50, 80, provider="Cloudflare", group="Llama3"),
    Model(
        "openai/gpt-oss-20b",
        30,
        140,
        provider="Groq",
        parameters=SAMPLING | FORMATS | THINKING,
        reasoning=_MANDATORY,
        group="GPT",
    ),
    Model(
        "openai/gpt-6-luna",
        100,
        500,
        provider="OpenAI",
        parameters=_NO_SAMPLING | THINKING | {"seed"},
        context=400_000,
        reasoning=_OPTIONAL | {"default_enabled": True},
        group="GPT",
    ),
    Model("stand-in/plain", 100, 300),
    Model("stand-in/free:free", 0, 0),
    Model("stand-in/no-schema", 100, 300, parameters=SAMPLING | {"response_format"}),
    Model("stand-in/no-json", 100, 300, parameters=SAMPLING),
    Model("stand-in/no-temperature", 100, 300, parameters=_NO_SAMPLING),
    Model(
        "stand-in/reasoner",
        100,
        300,
        parameters=SAMPLING | FORMATS | THINKING,
        reasoning=_MANDATORY,
    ),
    Model("stand-in/request-fee", 100, 300, request_nano=1_000_000),
    Model("stand-in/short-context", 100, 300, context=2048, max_completion=512),
    Model("stand-in/expiring", 100, 300, expires_in_days=3),
    Model("stand-in/expired", 100, 300, expires_in_days=-3, gone=True),
    Model("stand-in/gone", 100, 300, gone=True),
    Model("stand-in/price-missing", 100, 300, listed={}, malformed=True),
    Model("stand-in/price-negative", 100, 300, listed={"prompt": "-1", "completion": "-1"}),
    Model(
        "stand-in/price-number",
        100,
        300,
        listed={"prompt": 1e-07, "completion": 3e-07},
        malformed=True,
    ),
    Model("stand-in/price-nonsense", 100, 300, listed={"prompt": "free", "completion": "NaN"}),
)
MODELS: Mapping[str, Model] = {model.slug: model for model in _MODELS}
FALLBACK, OTHER_FALLBACK = (
    MODELS["meta-llama/llama-3.1-8b-instruct"],
    MODELS["mistralai/mistral-small-3.2-24b-instruct"],
)


def find(slug: str) -> Model | None:
    """The model of a slug; ``:floor`` and ``:nitro`` only choose among its endpoints."""
    name, _, variant = slug.rpartition(":")
    return MODELS.get(name if variant in ("floor", "nitro") else slug)


def fallback(model: Model) -> Model:
    """Who answers when ``model`` does not."""
    return OTHER_FALLBACK if model is FALLBACK else FALLBACK


def listing(parameters: str = "", malformed: bool = False) -> bytes:
    """The body of ``GET /models``, or of its part that supports all the parameters."""
    wanted = {name for name in parameters.split(",") if name}
    entries = [
        _entry(model)
        for model in _MODELS
        if wanted <= model.parameters and (malformed or not model.malformed)
    ]
    listed = {"data": entries, "links": {"next": None}, "total_count": len(entries)}
    return json.dumps(listed).encode()


def _entry(model: Model) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": model.slug,
        "canonical_slug": model.served_as,
        "hugging_face_id": None,
        "name": model.slug,
        "created": CREATED,
        "description": "Answered by the stand-in on this machine.",
        "context_length": model.context,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": model.group,
            "instruct_type": None,
        },
        "pricing": _pricing(model) if model.listed is None else dict(model.listed),
        "top_provider": {
            "context_length": model.context,
            "max_completion_tokens": model.max_completion,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": sorted(model.parameters),
        "default_parameters": {},
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": _expiration(model.expires_in_days),
        "links": {"details": f"/api/v1/models/{model.served_as}/endpoints"},
    }
    return entry if model.reasoning is None else entry | {"reasoning": dict(model.reasoning)}


def _pricing(model: Model) -> dict[str, Any]:
    pricing: dict[str, Any] = {
        "prompt": _usd(model.prompt_nano),
        "completion": _usd(model.completion_nano),
        "request": _usd(model.request_nano),
        "image": "0",
        "web_search": "0",
        "internal_reasoning": "0",
    }
    if model.long_prompt is None:
        return pricing
    dear = {
        "min_prompt_tokens": model.long_prompt,
        "prompt": _usd(model.prompt_nano * model.long_factor),
        "completion": _usd(model.completion_nano * model.long_factor),
    }
    return pricing | {"overrides": [dear]}


def _usd(nanos: int) -> str:
    return f"{Decimal(nanos).scaleb(-9).normalize():f}"


def _expiration(days: int | None) -> str | None:
    return None if days is None else (datetime.now(UTC) + timedelta(days)).date().isoformat()
