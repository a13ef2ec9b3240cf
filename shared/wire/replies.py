"""What models write when they are asked for JSON, and what can be made of it.

Models fence their JSON, talk around it, forget to escape a quote, or are cut off in the middle. A
library repairs what is not JSON, and its repair counts only if no word got lost. Nothing here
raises: what cannot be read is plain text, or no judgement.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.wire.channels import divided
from shared.wire.untrusted import amount, text

_HIGHEST_SCORE = 10
_LONGEST_REASON = 2000
# These bound the time that a hostile text can take.
_LONGEST_SEARCHED = 200_000
_MOST_TRIED = 100
_LONGEST_REPAIRED = 50_000
_MOST_BRACES_REPAIRED = 200
_DECODER = json.JSONDecoder(strict=False)
_ESCAPE = re.compile(r'\\(["\\/bfnrt]|u[0-9a-fA-F]{4})?')
_QUOTE = "[\"'“”„]"
# Where the text begins in an object that is no JSON.
_TEXT_BEGINS = re.compile(rf"[{{,]\s*{_QUOTE}?generated{_QUOTE}?\s*:\s*({_QUOTE}?)")
# Where it ends, if the quality follows or nothing does.
_TEXT_ENDS = re.compile(
    rf"{_QUOTE}?\s*,\s*{_QUOTE}?quality{_QUOTE}?\s*:\s*{_QUOTE}?([^{{}}\"'“”,\s]{{0,40}})"
    rf"{_QUOTE}?\s*,?\s*(\}}|\Z)"
)
_OBJECT_ENDS = re.compile(rf"{_QUOTE}?\s*,?\s*\}}\s*(?:```)?\s*\Z|{_QUOTE}\s*\Z")
# An object that was cut before its text began.
_BARELY_BEGUN = re.compile(
    r'\s*(?:```\w*\s*)?\{\s*(?=")(?:"quality"\s*:\s*(?:[\d.]*\s*,?\s*))?(?:"\w{0,9}"?\s*:?\s*)?\Z'
)
_SCORE = (
    r"[*_]*(\d{1,2}(?:[.,]\d{1,4})?)[*_]*"
    r"(?:[ \t]*/[ \t]*[*_]*10[*_]*|[ \t]+out of 10|[ \t]+of 10|[ \t]+points?)?"
)
_SCORE_LINE = re.compile(
    r"^[^\w\n]*(?:(?:final|overall|total)[ \t]+)?(?:score|rating)[ \t*_]*[:=][ \t*_]*"
    rf"{_SCORE}[ \t*_.]*$",
    re.IGNORECASE | re.MULTILINE,
)
# A line that is nothing but the score, with its scale.
_SCORE_ALONE = re.compile(
    r"^[^\w\n]*(\d{1,2}(?:[.,]\d{1,4})?)[*_]*(?:[ \t]*/[ \t]*10|[ \t]+out of 10)[ \t*_.]*$",
    re.IGNORECASE | re.MULTILINE,
)
_SCORE_VALUE = re.compile(rf"\s*{_SCORE}[ \t*_.]*", re.IGNORECASE)


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
    as it goes. Of an object that is no JSON no word of the text gets lost. With
    ``wanted_structured`` false the whole is the text.
    """
    if not wanted_structured:
        return _as_it_is(written)
    for found in reversed(_objects(written)):
        if "generated" in found.value and not _is_quoted(written, found):
            said, quality = found.value["generated"], _within(found.value.get("quality"), 1)
            is_text = isinstance(said, str)
            return Generated(divided(text(said)).answer, quality) if is_text else _as_it_is(written)
    if begun := _TEXT_BEGINS.search(written[:_LONGEST_SEARCHED]):
        found_text = _repaired_text(written, begun)
        return found_text._replace(text=divided(found_text.text).answer)
    return Generated("", None) if _BARELY_BEGUN.match(written) else _as_it_is(written)


def cut_before_text(generated: Generated, finish_reason: str | None, max_tokens: int) -> str:
    """What is wrong with an answer that was cut before its text began; empty if it was not."""
    if finish_reason != "length" or generated.text.strip():
        return ""
    return f"the answer was cut at max_tokens={max_tokens} before its text began; raise max_tokens"


def _as_it_is(written: str) -> Generated:
    return Generated(written, None)


def judged(written: str) -> Judgement | None:
    """The judgement in ``{"reason", "score"}``, or on a line ``score: N``; None if none is valid.

    The score is 0 to 10, as a number or in words such as "8/10", "8 out of 10" and "7,5"; the last
    object that has one counts. A line counts only where there is no brace: in a JSON that was cut,
    it may be a quotation.
    """
    for found in reversed(_objects(written)):
        if (said := _named(found.value, "score")) is not None:
            return _judgement_of(*said)
    if "{" in written:
        said = _named(_repaired(written), "score") if "}" in written else None
        return None if said is None else _judgement_of(*said)
    searched = written[:_LONGEST_SEARCHED]
    lines = _SCORE_LINE.findall(searched) or _SCORE_ALONE.findall(searched)
    score = _score(lines[-1]) if lines else None
    return None if score is None else _judgement(score, written.strip())


def preferred(written: str) -> Judgement | None:
    """The verdict in ``{"reason", "verdict"}`` on two texts: 1 the first is better, 0.5 they are
    equal, 0 the second is; None if there is none. The last object that has one counts."""
    for found in reversed(_objects(written)):
        if (said := _named(found.value, "verdict")) is not None:
            return _preference(*said)
    said = _named(_repaired(written), "verdict") if "}" in written else None
    return None if said is None else _preference(*said)


def _preference(said: object, fields: Mapping[str, Any]) -> Judgement | None:
    word = said.strip(" \t\n*_.\"'").lower() if isinstance(said, str) else ""
    score = _VERDICTS.get(word)
    return None if score is None else _judgement(score, text(fields.get("reason")))


def _judgement_of(said: object, fields: Mapping[str, Any]) -> Judgement | None:
    score = _score(said)
    return None if score is None else _judgement(score, text(fields.get("reason")))


def _named(fields: Mapping[str, Any], name: str) -> tuple[object, Mapping[str, Any]] | None:
    """The field of that name, in any case, and the object that it stands in: this one or one that
    it holds; None if there is none."""
    for holder in (fields, *(value for value in fields.values() if isinstance(value, dict))):
        for key, value in holder.items():
            if key.strip().lower() == name:
                return value, holder
    return None


def _judgement(score: float, reason: str) -> Judgement:
    return Judgement(score, reason[:_LONGEST_REASON])


def _score(said: object) -> float | None:
    """A score as a share of the highest; words are read as a line of prose is."""
    if isinstance(said, str):
        found = _SCORE_VALUE.fullmatch(said)
        said = found[1].replace(",", ".") if found else None
    return _within(said, _HIGHEST_SCORE)


def _within(value: object, highest: float) -> float | None:
    """The number as a share of ``highest``; None if it is none in [0, highest]."""
    found = amount(value)
    return found / highest if found is not None and found <= highest else None


class _Object(NamedTuple):
    value: dict[str, Any]
    #: Where it stands.
    start: int
    end: int


def _is_quoted(written: str, found: _Object) -> bool:
    """Whether an object is a piece of the text of another one, which is no JSON and ends later."""
    ends = _TEXT_ENDS.search(written, found.end)
    return ends is not None and not _TEXT_BEGINS.search(written, found.end, ends.start())


def _repaired_text(written: str, begun: re.Match[str]) -> Generated:
    """The text of an object that is no JSON."""
    rest = written[begun.end() :]
    ends = list(_TEXT_ENDS.finditer(rest[:_LONGEST_SEARCHED]))
    if begun[1] == '"' and not ends and '"' not in _ESCAPE.sub("", rest):
        return Generated(_unescaped(rest), None)
    # A number that was cut is another number.
    is_known = not ends or ends[-1][2] == "}"
    fields = _repaired(written)
    repaired = fields.get("generated")
    if isinstance(repaired, str):
        # The library leaves pairs of surrogates as two.
        repaired = repaired.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(repaired, str) and _is_whole(repaired, _unescaped(rest)):
        quality = _within(fields.get("quality"), 1) if is_known else None
        return Generated(text(repaired), quality)
    # The text as it stands: a quote too many is better than a word too few.
    whole = rest[: ends[-1].start()] if ends else _OBJECT_ENDS.sub("", rest)
    return Generated(_unescaped(whole), _within(ends[-1][1], 1) if ends and is_known else None)


def _is_whole(repaired: str, rest: str) -> bool:
    """Whether a repaired text holds every word of the rest of its object, but for the quality."""
    words, found = _words(rest), _words(repaired)
    return words.startswith(found) and bool(
        re.fullmatch(r"(?:quality(?:[\de]*|null|true|false))?", words[len(found) :])
    )


def _words(said: str) -> str:
    return re.sub(r"[\W_]+", "", said)


def _repaired(written: str) -> dict[str, Any]:
    """What the library makes of the first object on; empty if that is none."""
    start = written.find("{")
    if start < 0 or len(written) > _LONGEST_REPAIRED or written.count("{") > _MOST_BRACES_REPAIRED:
        return {}
    # It takes a while to import, and most answers are JSON.
    import json_repair

    with contextlib.suppress(ValueError, RecursionError):
        found = json_repair.loads(written[start:], skip_json_loads=True)
        return found if isinstance(found, dict) else {}
    return {}


def _objects(written: str) -> list[_Object]:
    """The outermost JSON objects in a text, in order."""
    searched, at, found = written[:_LONGEST_SEARCHED], 0, []
    if (whole := _whole(searched)) is not None:
        return [_Object(whole, 0, len(searched))]
    searched = _mended(searched)
    for _ in range(_MOST_TRIED):
        at = searched.find("{", at)
        if at < 0:
            break
        try:
            value, end = _DECODER.raw_decode(searched, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            found.append(_Object(value, at, end))
            at = end
    return found


def _whole(written: str) -> dict[str, Any] | None:
    """The object that the text is, as most are: nothing to repair, nothing around it."""
    with contextlib.suppress(ValueError, RecursionError):
        found = _DECODER.decode(written)
        return found if isinstance(found, dict) else None
    return None


def _mended(written: str) -> str:
    """Backslashes doubled where JSON knows no such escape: models write formulas as they are."""
    return _ESCAPE.sub(lambda found: found[0] if found[1] else r"\\", written)


def _unescaped(inside: str) -> str:
    """What stands between the quotes of a JSON string, though quotes in it are not escaped and its
    last escape may be cut."""
    plain = re.sub(r'\\(?:.|\Z)|"', lambda found: found[0] if found[0] != '"' else r"\"", inside,
                   flags=re.DOTALL)  # fmt: skip
    # An escape has at most six characters.
    for end in range(len(plain), max(len(plain) - 6, -1), -1):
        with contextlib.suppress(ValueError):
            return text(_DECODER.decode(f'"{plain[:end]}"'))
    with contextlib.suppress(ValueError):
        return text(_DECODER.decode(f'"{_mended(plain)}"'))
    return inside
