"""What models write when they are asked for JSON, and what can be made of it.

Models fence their JSON, talk around it, or are cut off in the middle. Nothing here raises: what
cannot be read is plain text, or no judgement.
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.wire.untrusted import amount, text

_HIGHEST_SCORE = 10
_LONGEST_REASON = 2000
# Both bound the time that a hostile text can take.
_LONGEST_SEARCHED = 200_000
_MOST_TRIED = 100
_DECODER = json.JSONDecoder(strict=False)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
_OPENED = re.compile(r"\s*(?:```\w*\s*)?\{\s*\"generated\"\s*:\s*\"")
_SCORE_LINE = re.compile(
    r"^[^\w\n]*(?:(?:final|overall|total)[ \t]+)?score[ \t*_]*[:=][ \t*_]*"
    r"(\d{1,2}(?:\.\d{1,4})?)(?:[ \t]*/[ \t]*10|[ \t]+out of 10)?[ \t*_.]*$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class ReplySchema:
    """A JSON object that a model is asked for. Its keys are sorted: that must be their order."""

    name: str
    schema: Mapping[str, Any]


def _object(name: str, **properties: str | Mapping[str, Any]) -> ReplySchema:
    return ReplySchema(
        name,
        {
            "additionalProperties": False,
            "properties": {
                field: {"type": kind} if isinstance(kind, str) else dict(kind)
                for field, kind in properties.items()
            },
            "required": list(properties),
            "type": "object",
        },
    )


#: A text and the generator's own estimate of its quality, 0 to 1.
GENERATED = _object("generated", generated="string", quality="number")
#: A judge's reason, and then its score, 0 to 10.
JUDGEMENT = _object("judgement", reason="string", score="integer")
#: What each verdict on two texts is worth to the first.
_VERDICTS = {"first": 1.0, "equal": 0.5, "second": 0.0}
#: A judge's reason, and then which of two texts is better.
PREFERENCE = _object(
    "preference", reason="string", verdict={"enum": list(_VERDICTS), "type": "string"}
)


class Generated(NamedTuple):
    """A generated text. Made here, read by the provider."""

    text: str
    #: The generator's own estimate in [0, 1]; None if it gave none.
    quality: float | None


class Judgement(NamedTuple):
    """A judge's answer. Made here, read by the judge."""

    #: In [0, 1].
    score: float
    #: Empty if the judge gave none.
    reason: str


def generated_and_quality(written: str, wanted_structured: bool) -> Generated:
    """The text that was asked for as ``{"generated", "quality"}``, out of all that was written.

    What holds no such object is taken as the text itself; what ``max_tokens`` cut is taken as far
    as it goes. With ``wanted_structured`` false the whole is the text.
    """
    if not wanted_structured:
        return Generated(written, None)
    for found in reversed(list(_objects(written))):
        if isinstance(found.get("generated"), str):
            return Generated(text(found["generated"]), _within(found.get("quality"), 1))
    if opened := _OPENED.match(written):
        return Generated(_unfinished(written[opened.end() :]), None)
    return Generated(written, None)


def judged(written: str) -> Judgement | None:
    """The judgement in ``{"reason", "score"}``, or on a line ``score: N``; None if none is valid.

    The score is 0 to 10; the last object that has one counts. A line counts only where there is no
    brace: in a JSON that was cut, it may be a quotation.
    """
    for found in reversed(list(_objects(written))):
        if "score" in found:
            score = _within(found["score"], _HIGHEST_SCORE)
            return (
                None
                if score is None
                else Judgement(score, text(found.get("reason"))[:_LONGEST_REASON])
            )
    if "{" in written:
        return None
    lines = _SCORE_LINE.findall(written[:_LONGEST_SEARCHED])
    score = _within(lines[-1], _HIGHEST_SCORE) if lines else None
    return None if score is None else _judgement(score, written.strip())


def preferred(written: str) -> Judgement | None:
    """The verdict in ``{"reason", "verdict"}`` on two texts: 1 the first is better, 0.5 they are
    equal, 0 the second is; None if there is none. The last object that has one counts."""
    for found in reversed(list(_objects(written))):
        if "verdict" in found:
            said = found["verdict"]
            score = _VERDICTS.get(said.strip().lower()) if isinstance(said, str) else None
            return None if score is None else _judgement(score, text(found.get("reason")))
    return None


def _judgement(score: float, reason: str) -> Judgement:
    return Judgement(score, reason[:_LONGEST_REASON])


def _within(value: object, highest: float) -> float | None:
    """The number as a share of ``highest``; None if it is none in [0, highest]."""
    found = amount(value)
    return found / highest if found is not None and found <= highest else None


def _objects(written: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, in order."""
    searched, at = written[:_LONGEST_SEARCHED], 0
    if (whole := _whole(searched)) is not None:
        yield whole
        return
    searched = _mended(searched)
    for _ in range(_MOST_TRIED):
        at = searched.find("{", at)
        if at < 0:
            return
        try:
            value, at = _DECODER.raw_decode(searched, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            yield value


def _whole(written: str) -> dict[str, Any] | None:
    """The object that the text is, as most are: nothing to mend, nothing around it."""
    with contextlib.suppress(ValueError, RecursionError):
        found = _DECODER.decode(written)
        return found if isinstance(found, dict) else None
    return None


def _mended(written: str) -> str:
    """Backslashes doubled where JSON knows no such escape: models write formulas as they are."""
    return _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", written)


def _unfinished(rest: str) -> str:
    """The beginning of a JSON string whose end is missing."""
    # The last escape may be cut too: at most six characters.
    for end in range(len(rest), max(len(rest) - 6, -1), -1):
        with contextlib.suppress(ValueError):
            return text(_DECODER.decode(f'"{rest[:end]}"'))
    with contextlib.suppress(ValueError):
        # It was closed, and what follows is no JSON.
        return text(_DECODER.raw_decode(f'"{_mended(rest)}')[0])
    return rest
