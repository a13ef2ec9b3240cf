"""Results as they lie in Redis: the type's name and the message, ``["Completion",{...}]``."""

from shared.messages import Message

_BEFORE, _BETWEEN, _AFTER = '["', '",', "]"


def written(result: Message) -> str:
    """A result as text."""
    return f"{_BEFORE}{type(result).__name__}{_BETWEEN}{result.model_dump_json()}{_AFTER}"


def divided(text: str) -> tuple[str, str]:
    """The type's name and what should be the message's JSON. Raises ValueError for other texts."""
    name, between, payload = text[len(_BEFORE) : -len(_AFTER)].partition(_BETWEEN)
    if not (text.startswith(_BEFORE) and between and text.endswith(_AFTER)):
        raise ValueError("no name and message")
    return name, payload
