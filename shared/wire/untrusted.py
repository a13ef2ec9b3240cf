"""What a server sent, read without trust: every reader is total, and says None for nonsense."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_LONGEST_NAME = 200
_LONGEST_WORDS = 240
_MANY_TOKENS = 10**12
# Keys as OpenRouter and OpenAI write them, masked ones too, and OpenRouter's ids of people.
_SECRET = re.compile(
    r"(?<![a-z])sk-[\w*.…-]{4,}|(?<=bearer )\S+|\b(?:user|org)_[a-z0-9]{16,}", re.IGNORECASE
)


def parsed(body: bytes) -> Any:
    """The JSON value of a body; None if it is none (or null)."""
    try:
        return json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def mapping(value: object) -> Mapping[str, Any]:
    """The JSON object itself; empty if it is something else."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """The string, fit for UTF-8; empty if it is something else."""
    if not isinstance(value, str):
        return ""
    # JSON may hold half of a surrogate pair, which neither Redis nor pydantic takes.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def name(value: object) -> str:
    """A string of one line, at most 200 characters; empty if it is something else."""
    return _one_line(text(value)[: 2 * _LONGEST_NAME])[:_LONGEST_NAME]


def number(value: object) -> float | None:
    """The finite number, also if written as a string; None for anything else, booleans too."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def amount(value: object) -> float | None:
    """The number, if it is not negative."""
    found = number(value)
    return abs(found) if found is not None and found >= 0 else None


def count(value: object) -> int | None:
    """The number, if it can be one of tokens."""
    found = amount(value)
    return int(found) if found is not None and found <= _MANY_TOKENS else None


def words(said: str, *secrets: str) -> str:
    """A server's words fit to show: one short line, no keys, no ids of people, no ``secrets``."""
    line = _one_line(said[:4000])
    for secret in filter(None, secrets):
        line = line.replace(secret, "***")
    # Before it is shortened: a cut key would no longer look like one.
    line = _SECRET.sub("***", line)
    return line if len(line) <= _LONGEST_WORDS else line[: _LONGEST_WORDS - 1] + "…"


def _one_line(said: str) -> str:
    if said.isprintable():
        return " ".join(said.split())
    return " ".join("".join(c if c.isprintable() else " " for c in said).split())
