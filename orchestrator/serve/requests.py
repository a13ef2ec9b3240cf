"""The body of a chat request: read, asked for its question, and rewritten. Pure.

Only what the policy needs is looked at; whatever else a caller sends is the model's business.
"""

import json
from collections.abc import Sequence
from typing import Any

from orchestrator.serve.errors import Refused

Fields = dict[str, Any]
#: The name under which callers mean the model of the run.
OURS = "concept-grpo"
#: Characters beyond which a question is nothing like those of training, and slow to match.
MAX_QUESTION = 20_000

_SYSTEM = ("system", "developer")


class Unfit(Exception):
    """The policy has nothing to say to this request; the reason is one word."""


def parsed(body: bytes) -> Fields:
    """The fields of a chat request. Raises Refused for what is none."""
    try:
        fields = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused(400, "invalid_json", "the body is no JSON in UTF-8") from None
    if not isinstance(fields, dict):
        raise Refused(400, "invalid_body", "the body must be one JSON object")
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "no_messages", "'messages' must be a list of at least one message")
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Refused(400, "invalid_message", f"messages[{place}] is no object with a 'role'")
    if not isinstance(fields.get("model", ""), str | None):
        raise Refused(400, "invalid_model", "'model' must be a string")
    return fields


def encoded(fields: Fields) -> bytes:
    """The body of a request. Raises Refused for numbers and depths that cannot be sent on."""
    try:
        return json.dumps(fields, allow_nan=False).encode()
    except (ValueError, RecursionError):
        said = (
            "the body holds a number such as 1e999, which JSON cannot carry, or is nested too deep"
        )
        raise Refused(400, "invalid_json", said) from None


def names_ours(fields: Fields) -> bool:
    """Whether the model of the run is asked for: by ``OURS``, or by naming none."""
    named = fields.get("model")
    return named == OURS or not (named or fields.get("models"))


def question(fields: Fields, follow_ups: bool) -> str:
    """The text of the last message, if it is one that a policy can plan for; else raises Unfit.

    ``follow_ups`` allows earlier answers before it.
    """
    messages = fields["messages"]
    if fields.get("tools") or fields.get("functions") or _has(messages, "tool", "function"):
        raise Unfit("tools")
    if not all(_is_text(message.get("content")) for message in messages):
        raise Unfit("not-only-text")
    if messages[-1]["role"] != "user":
        raise Unfit("last-message-not-from-user")
    if _has(messages, "assistant") and not follow_ups:
        raise Unfit("follow-up")
    text = _text(messages[-1].get("content"))
    if len(text) > MAX_QUESTION:
        raise Unfit("too-long")
    if not text.strip() or any("\ud800" <= character <= "\udfff" for character in text):
        raise Unfit("no-text")
    return text


def with_instructions(fields: Fields, system: str, added: str) -> Fields:
    """The request with ``added`` after its question; ``system`` only where the caller has none."""
    *before, last = fields["messages"]
    content = last["content"]
    if isinstance(content, str):
        content += added
    else:
        content = [*content[:-1], {**content[-1], "text": content[-1]["text"] + added}]
    if not has_system(fields):
        before = [{"role": "system", "content": system}, *before]
    return {**fields, "messages": [*before, {**last, "content": content}]}


def has_system(fields: Fields) -> bool:
    """Whether the caller gives instructions of its own, which ours must not push aside."""
    return _has(fields["messages"], *_SYSTEM)


def asks_format(fields: Fields) -> bool:
    """Whether the caller wants the answer in a format of its own."""
    wanted = fields.get("response_format")
    return wanted is not None and wanted != {"type": "text"}


def _has(messages: Sequence[Fields], *roles: str) -> bool:
    return any(message["role"] in roles for message in messages)


def _is_text(content: object) -> bool:
    """A string, or a list of nothing but text parts; an assistant's message may have none."""
    if isinstance(content, list):
        return bool(content) and all(
            isinstance(part, dict)
            and part.get("type") == "text"
            and isinstance(part.get("text"), str)
            for part in content
        )
    return content is None or isinstance(content, str)


def _text(content: str | list[Fields] | None) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
