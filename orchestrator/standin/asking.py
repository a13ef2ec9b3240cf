"""A request body, read as strictly as OpenRouter reads it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.standin.catalog import PARAMETERS, Model, find
from orchestrator.standin.faults.errors import Circumstances, refusal
from orchestrator.standin.tokens import count

ROLES = {"system", "developer", "user", "assistant", "tool"}


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks for."""

    model: str
    fields: Mapping[str, Any]

    @property
    def stream(self) -> bool:
        """Whether the answer is asked for as server-sent events."""
        return self.fields.get("stream") is True

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that the answer may have, if the request says."""
        given = self.fields.get("max_tokens", self.fields.get("max_completion_tokens"))
        return given if isinstance(given, int) and not isinstance(given, bool) else None

    @property
    def repeatable(self) -> bool:
        """Whether the same body gets the same text every time."""
        return self.fields.get("temperature") == 0 or self.fields.get("seed") is not None

    @property
    def response_format(self) -> Mapping[str, Any]:
        """The format asked for; ``{}`` is plain text."""
        given = self.fields.get("response_format")
        return given if isinstance(given, dict) else {}

    def texts(self, *roles: str) -> list[str]:
        """The texts of the messages with one of the roles, or of all."""
        messages = self.fields["messages"]
        return [_text(each["content"]) for each in messages if not roles or each["role"] in roles]

    @property
    def refuses_to_think(self) -> bool:
        """Whether the request switches reasoning off."""
        asked = self.fields.get("reasoning")
        return isinstance(asked, dict) and (
            asked.get("effort") == "none" or asked.get("enabled") is False
        )

    def thinks(self, model: Model) -> bool:
        """Whether the model reasons before it answers this request."""
        if model.reasoning is None or self.refuses_to_think:
            return False
        asked = isinstance(self.fields.get("reasoning"), dict)
        return asked or bool(model.reasoning["default_enabled"])


class Accepted(NamedTuple):
    """Who will answer, and how long the question is."""

    model: Model
    prompt_tokens: int


def parsed(body: bytes) -> Ask:
    """The request in a body. Raises Refusal for what is no chat request."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise refusal("bad_body") from None
    if not isinstance(fields, dict) or not fields:
        raise refusal("bad_body")
    if not fields.get("messages"):
        raise refusal("validation")
    if not isinstance(fields["messages"], list) or not all(map(_is_message, fields["messages"])):
        raise refusal("zod")
    # ``models`` is a list to fall back on; the stand-in never needs the second.
    several = fields.get("models")
    first = several[0] if isinstance(several, list) and several else None
    named = fields.get("model", first)
    if not isinstance(named, str) or not named:
        raise refusal("no_model")
    return Ask(named, fields)


def accepted(ask: Ask) -> Accepted:
    """The model that will answer. Raises Refusal for what it cannot do."""
    circumstances = Circumstances(model=ask.model, max_tokens=ask.max_tokens)
    model = find(ask.model)
    if model is None:
        raise refusal("invalid_model", circumstances)
    if model.gone:
        raise refusal("model_gone", circumstances)
    _check_values(ask)
    _check_routing(ask, model, circumstances)
    if ask.refuses_to_think and model.reasoning is not None and model.reasoning["mandatory"]:
        raise refusal("reasoning_mandatory", circumstances)
    prompt_tokens = sum(map(count, ask.texts()))
    _check_length(ask, model, prompt_tokens)
    return Accepted(model, prompt_tokens)


def _check_values(ask: Ask) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        given = ask.fields.get(name)
        if given is not None and (not isinstance(given, int) or given < 1):
            raise refusal("zod")
    temperature = ask.fields.get("temperature")
    if temperature is not None and (
        isinstance(temperature, bool)
        or not isinstance(temperature, int | float)
        or not 0 <= temperature <= 2
    ):
        raise refusal("zod")


def _check_routing(ask: Ask, model: Model, circumstances: Circumstances) -> None:
    routing = ask.fields.get("provider")
    if not isinstance(routing, dict):
        return
    if routing.get("data_collection") == "deny" and model.free:
        raise refusal("data_policy", circumstances)
    if routing.get("require_parameters") is True and needed(ask) - model.parameters:
        raise refusal("no_endpoints", circumstances)


def needed(ask: Ask) -> frozenset[str]:
    """The parameters that an endpoint must support to do what the request says."""
    sent = {name for name in PARAMETERS if ask.fields.get(name) is not None}
    if ask.response_format.get("type") == "json_schema":
        sent.add("structured_outputs")
    return frozenset(sent)


def _check_length(ask: Ask, model: Model, prompt_tokens: int) -> None:
    if prompt_tokens + (ask.max_tokens or 0) > model.context:
        raise refusal(
            "context_length",
            Circumstances(
                model=ask.model,
                max_tokens=ask.max_tokens,
                context=model.context,
                prompt_tokens=prompt_tokens,
            ),
        )


def _is_message(message: object) -> bool:
    if not isinstance(message, dict) or str(message.get("role")) not in ROLES:
        return False
    content = message.get("content")
    return isinstance(content, str) or (
        isinstance(content, list) and all(isinstance(part, dict) for part in content)
    )


def _text(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)
