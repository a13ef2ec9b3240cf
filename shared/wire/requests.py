"""The body of a chat request, as bytes: the same job gives the same bytes, in any process.

OpenRouter's response cache compares bytes, so a repeated call costs nothing and two slots with the
same prompt must differ: each body carries the name of its rollout.
"""

import math
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from shared.messages import ChatMessage, Sampling
from shared.wire.dialects import spoken
from shared.wire.replies import ReplySchema

# Some providers take seeds of 32 bits only.
_SEED_BITS = 0x7FFFFFFF


def chat_body(
    messages: Sequence[ChatMessage],
    sampling: Sampling,
    *,
    rollout: str,
    run: str,
    seed: int | None,
    schema: ReplySchema | None,
    openrouter: bool = True,
) -> bytes:
    """Serialize a request for one answer.

    ``rollout`` must be unique in the run for each answer wanted: a second question for the same
    slot needs a name of its own. ``seed`` is sent, cut to 31 bits, if ``sampling.send_seed``. With
    a ``schema`` the answer is asked for in ``sampling.reply_format``; where that is ``text``, the
    prompt has to ask. ``openrouter=False`` leaves out what only OpenRouter knows.

    Raises ValueError if ``sampling.routing`` holds what JSON cannot say.
    """
    body: dict[str, Any] = {
        "model": sampling.model,
        "messages": [
            {"content": turn.content, "role": turn.role} for turn in spoken(messages, sampling)
        ],
        sampling.max_tokens_field: sampling.max_tokens,
    }
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.send_seed and seed is not None:
        body["seed"] = seed & _SEED_BITS
    wanted = schema if sampling.reply_format != "text" else None
    if wanted is not None:
        body["response_format"] = _response_format(wanted, sampling)
    if openrouter:
        body["trace"] = {"generation_name": rollout, "trace_id": run}
        body |= _openrouter_fields(sampling, wanted is not None)
    elif sampling.send_user:
        body["user"] = rollout
    # Sorted, so that bytes do not depend on the order of writing; what is nested is so already.
    return to_json(dict(sorted(body.items())))


def message_bytes(body: bytes) -> int:
    """Bytes of the messages' texts in a body of ``chat_body``, nearly; at least 1."""
    # The keys are sorted, and no text holds an unescaped quote.
    begin, end = body.find(b'"messages":[') + len('"messages":['), body.rfind(b'],"model":')
    turns = body.count(b'","role":"', begin, end)
    return max(1, end - begin + 1 - turns * len('{"content":"","role":"user"},'))


def _response_format(schema: ReplySchema, sampling: Sampling) -> dict[str, Any]:
    if sampling.reply_format == "json_object":
        return {"type": "json_object"}
    return {
        "json_schema": {"name": schema.name, "schema": schema.schema, "strict": True},
        "type": "json_schema",
    }


def _openrouter_fields(sampling: Sampling, structured: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    routing = dict(sampling.routing)
    if structured:
        # Repairs the syntax of JSON; it cannot mend what max_tokens cut.
        fields["plugins"] = [{"id": "response-healing"}]
        if sampling.reply_format == "json_schema":
            routing.setdefault("require_parameters", True)
    if sampling.reasoning_off:
        fields["reasoning"] = {"effort": "none"}
    if routing:
        fields["provider"] = _sorted(routing)
    return fields


def _sorted(value: Any) -> Any:
    """JSON values with sorted keys. Raises ValueError for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return list(map(_sorted, value))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not JSON compliant")
    return value
