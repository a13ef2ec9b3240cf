"""JSON without its silent traps: repeated keys, NaN, infinity and half characters are errors.

Every error in what people wrote is a UsageError that names the file and the 1-based line.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.wording import short
from shared.errors import UsageError

#: Digits of whole numbers that a float holds too.
MAX_DIGITS = 308
_BLANKS = re.compile(r"[ \t\r\n]*")


class Located(NamedTuple):
    """A value and the line on which it starts."""

    line: int
    value: Any


def parse(text: str, path: Path, first_line: int = 1) -> Any:
    """The one JSON value that the text holds; the text begins at ``first_line`` of its file."""
    start = _skip_blanks(text, 0)
    value, end = _decode(text, start, path, first_line)
    rest = _skip_blanks(text, end)
    if rest < len(text):
        raise UsageError(
            f"{path}:{_line(text, rest, first_line)}: unexpected text after the JSON value: "
            f"{short(text[rest : rest + 200])}. Remove it; one record per line belongs in .jsonl."
        )
    return value


def own(text: str | bytes) -> Any:
    """A value of a file of ours, quickly. ValueError: it is none, or has numbers no float holds."""
    try:
        return _OWN.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise ValueError("values nested too deeply") from None


def parse_array(text: str, path: Path) -> Iterator[Located]:
    """The elements of the JSON array that the text holds, each with its line."""
    at = _skip_blanks(text, 0)
    if not text.startswith("[", at):
        value = parse(text, path)
        raise UsageError(
            f"{path}:{_line(text, at)}: expected an array of records, found {short(value)}. "
            "Put the records in [ ... ]; for one record per line use a .jsonl file."
        )
    seen, line = at, _line(text, at)
    at = _skip_blanks(text, at + 1)
    closed, number = text.startswith("]", at), 0
    while not closed:
        line, seen, number = line + text.count("\n", seen, at), at, number + 1
        try:
            value, end = _decode(text, at, path, 1)
        except UsageError as error:
            raise UsageError(f"{error} It is in record {number}.") from error
        yield Located(line, value)
        at = _skip_blanks(text, end)
        closed = text.startswith("]", at)
        if not closed:
            if at == len(text):
                raise UsageError(
                    f"{path}:{_line(text, at)}: the array is not closed. Is the file cut off? "
                    "Close it with ]."
                )
            if not text.startswith(",", at):
                raise UsageError(
                    f"{path}:{_line(text, at)}: expected ',' or ']' after a record, "
                    f"found {short(text[at : at + 200])}. Separate records by commas, close with ]."
                )
            at = _skip_blanks(text, at + 1)
    rest = _skip_blanks(text, at + 1)
    if rest < len(text):
        raise UsageError(
            f"{path}:{_line(text, rest)}: unexpected text after the array: "
            f"{short(text[rest : rest + 200])}. Remove it."
        )


def _decode(text: str, start: int, path: Path, first_line: int) -> tuple[Any, int]:
    try:
        value, end = _DECODER.raw_decode(text, start)
        if text.find("\\u", start, end) >= 0:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise UsageError(_syntax_message(error, path, first_line)) from error
    except UnicodeEncodeError as error:
        problem = f"half a character: {error.object[error.start]!r}. Write both \\u halves"
    except RecursionError:
        problem = "values nested too deeply. Flatten the record"
    except ValueError as error:
        problem = str(error)
    else:
        return value, end
    raise UsageError(f"{path}:{_line(text, start, first_line)}: {problem}.")


def _syntax_message(error: json.JSONDecodeError, path: Path, first_line: int) -> str:
    where = f"{path}:{first_line + error.lineno - 1}"
    if not error.doc[error.pos :].strip():
        return f"{where}: the JSON ends in the middle of a value. Is the file cut off?"
    found = short(error.doc[error.pos : error.pos + 200])
    column = f"column {error.colno}"
    return f"{where}: not valid JSON at {column}: {error.msg}, found {found}. Correct it."


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {short(twice)} stands twice in one object. Keep one")
    return table


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {short(digits)} is too large. Write a finite number")
    return number


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits is too large. Shorten it")
    return int(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number. Write a finite number or null")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_distinct,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_integer,
)


_OWN = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer)


def _skip_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def _line(text: str, at: int, first_line: int = 1) -> int:
    return first_line + text.count("\n", 0, at)
