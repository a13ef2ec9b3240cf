"""A record of a data file to an Example: the shapes that are accepted, and every check on them.

Flat, ours: ``{"text", "reference"?, "domain"?, "id"?, ...}``; nested, the seed's:
``{"input": {"text"}, "output"?: {"generated"?, "quality"?}, ...}``; and those of ``data_shapes``.
Other fields go to ``extra``.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.data_readers import Record
from orchestrator.data_shapes import setting, shape
from orchestrator.rollouts import Example
from orchestrator.wording import did_you_mean, listed, short
from shared.errors import UsageError

#: Longest text or reference, in characters.
MAX_TEXT = 100_000
#: Ids are parts of Redis keys.
ID_PATTERN = r"[A-Za-z0-9._-]{1,64}"
#: Our field -> what was taken for it, in words, each once.
Understood = dict[str, dict[str, None]]
_OWN_FIELDS = ("id", "text", "reference", "domain")


def example(
    record: Record,
    source: str,
    default_id: str,
    understood: dict[str, dict[str, None]] | None = None,
) -> Example:
    """The Example of one record; ``source`` is "file:line". UsageError if the record is not one.

    ``understood`` gets what was taken for which of our fields, in words.
    """
    found = shape(record.fields, source)
    if understood is not None:
        for ours, theirs in found.words.items():
            understood.setdefault(ours, {})[theirs] = None
    fields = _flat(found.fields, source)
    if "text" not in fields:
        raise UsageError(_no_text(fields, source))
    return Example(
        id=_id(fields.get("id"), source) or default_id,
        text=_present(fields, "text", source),
        reference=_reference(fields.get("reference"), source),
        domain=_domain(fields, source),
        extra={name: value for name, value in fields.items() if name not in _OWN_FIELDS},
        source=source,
    )


def _flat(fields: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    if not isinstance(fields.get("input"), dict):
        return fields
    output = fields.get("output")
    if output is not None and not isinstance(output, dict):
        output = {"generated": output}
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
            f'Write "input": {{"text": "..."}}, or say which field it is, as in '
            f"{setting('text', 'input.' + next(iter(fields['input']), 'prompt'))}"
        )
    return flat


def _no_text(fields: Mapping[str, Any], source: str) -> str:
    names = listed([short(name) for name in list(fields)[:8]]) or "nothing"
    return (
        f"{source}: the record has no 'text', it has {names}.{did_you_mean('text', fields)} "
        f"Name the prompt's field 'text'{_or_say_which(fields)}."
    )


def _or_say_which(fields: Mapping[str, Any]) -> str:
    """The flag that makes the longest text of a record its prompt, to be copied and corrected."""
    texts = [name for name, value in fields.items() if isinstance(value, str) and value.strip()]
    if not texts:
        return ""
    longest = max(texts, key=lambda name: len(fields[name]))
    return f", or say which field it is, as in {setting('text', longest)}"


def _domain(fields: Mapping[str, Any], source: str) -> str | None:
    value = fields.get("domain")
    if _is_plain(value):
        return json.dumps(value)
    return None if value is None or value == "" else _present(fields, "domain", source)


def _reference(value: Any, source: str) -> str | tuple[str, ...] | None:
    """A good answer, or several of which any is right; numbers and truth values as JSON has them.

    None, an empty text and an empty list are no answer.
    """
    answers = tuple(dict.fromkeys(_answers(value, source)))
    if sum(map(len, answers)) > MAX_TEXT:
        raise UsageError(
            f"{source}: the answers of 'reference' have {sum(map(len, answers)):,} characters,"
            f" more than {MAX_TEXT:,}. Shorten them."
        )
    if len(answers) > 1:
        return answers
    return answers[0] if answers else None


def _answers(value: Any, source: str) -> Iterator[str]:
    for item in value if isinstance(value, list | tuple) else [value]:
        if _is_plain(item):
            yield json.dumps(item)
        elif isinstance(item, Mapping):
            inner = next(iter(item), "text")
            raise UsageError(
                f"{source}: 'reference' must be a text, a number or a list of them, found"
                f" {short(item)}. Say which of its fields it is, as in"
                f" {setting('reference', f'reference.{inner}')}"
            )
        elif isinstance(item, list | tuple):
            raise UsageError(
                f"{source}: 'reference' must be a text, a number or a list of them, found a list"
                f" in a list: {short(item)}. Write each right answer as one text."
            )
        elif item is not None and item != "":
            yield _present({"reference": item}, "reference", source)


def _is_plain(value: Any) -> bool:
    """Whether a value has one text in JSON without being a text: a number, or true or false."""
    return isinstance(value, bool | int | float)


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
    if value is None or value == "":
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
