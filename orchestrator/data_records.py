"""A record of a data file to an Example: the two shapes that are accepted, and every check on them.

Flat, ours: ``{"text", "reference"?, "domain"?, "id"?, ...}``; nested, the seed's:
``{"input": {"text"}, "output"?: {"generated"?, "quality"?}, ...}``. Other fields go to ``extra``.
"""

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.data_readers import Record
from orchestrator.rollouts import Example
from orchestrator.wording import did_you_mean, listed, short
from shared.errors import UsageError

#: Longest text or reference, in characters.
MAX_TEXT = 100_000
#: Ids are parts of Redis keys.
ID_PATTERN = r"[A-Za-z0-9._-]{1,64}"
_OWN_FIELDS = ("id", "text", "reference", "domain")


def example(record: Record, source: str, default_id: str) -> Example:
    """The Example of one record; ``source`` is "file:line". UsageError if the record is not one."""
    fields = _flat(record.fields, source)
    if "text" not in fields:
        raise UsageError(_no_text(fields, source))
    return Example(
        id=_id(fields.get("id"), source) or default_id,
        text=_present(fields, "text", source),
        reference=_string(fields, "reference", source),
        domain=_string(fields, "domain", source),
        extra={name: value for name, value in fields.items() if name not in _OWN_FIELDS},
        source=source,
    )


def _flat(fields: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    if not isinstance(fields.get("input"), dict):
        if "input" in fields and "text" not in fields:
            raise UsageError(
                f"{source}: 'input' must be an object, found {short(fields['input'])}. "
                'Write "input": {"text": "..."}.'
            )
        return fields
    output = fields.get("output")
    if output is not None and not isinstance(output, dict):
        raise UsageError(
            f"{source}: 'output' must be an object, found {short(output)}. "
            'Write "output": {"generated": "..."}.'
        )
    outer = {name: value for name, value in fields.items() if name not in ("input", "output")}
    answer = dict(output or {})
    if "generated" in answer:
        answer["reference"] = answer.pop("generated")
    _check_quality(answer.get("quality"), source)
    flat: dict[str, Any] = {}
    for part in (fields["input"], answer, outer):
        twice = flat.keys() & part.keys()
        if twice:
            raise UsageError(
                f"{source}: {short(min(twice))} stands twice in the record. Keep one of them."
            )
        flat |= part
    if "text" not in flat:
        raise UsageError(
            f"{source}: 'input' has no 'text', only {listed([short(name) for name in flat])}. "
            'Write "input": {"text": "..."}.'
        )
    return flat


def _no_text(fields: Mapping[str, Any], source: str) -> str:
    names = listed([short(name) for name in list(fields)[:8]]) or "nothing"
    return (
        f"{source}: the record has no 'text', it has {names}.{did_you_mean('text', fields)} "
        "Name the prompt's field 'text'."
    )


def _string(fields: Mapping[str, Any], name: str, source: str) -> str | None:
    return None if fields.get(name) is None else _present(fields, name, source)


def _present(fields: Mapping[str, Any], name: str, source: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise UsageError(
            f"{source}: {name!r} must be a string, found {short(value)}. Put it in double quotes."
        )
    if not value.strip():
        raise UsageError(f"{source}: {name!r} is empty. Fill it in, or remove the record.")
    if "\0" in value:
        raise UsageError(f"{source}: {name!r} holds a NUL character: {short(value)}. Remove it.")
    if len(value) > MAX_TEXT:
        raise UsageError(
            f"{source}: {name!r} has {len(value):,} characters, more than {MAX_TEXT:,}: "
            f"{short(value)}. Shorten it."
        )
    return value


def _id(value: Any, source: str) -> str | None:
    if value is None:
        return None
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(ID_PATTERN, text):
        raise UsageError(
            f"{source}: the id {short(value)} is not allowed: use 1 to 64 of the characters "
            "A-Z a-z 0-9 . _ -, or leave 'id' out."
        )
    return text


def _check_quality(value: Any, source: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and 0 <= value <= 1):
        raise UsageError(
            f"{source}: 'quality' must be a number from 0 to 1, found {short(value)}. Correct it."
        )
