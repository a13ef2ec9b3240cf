"""Data files to records: JSON arrays, JSON Lines and CSV, each record with its place.

Knows the formats, not what a record means: that is ``data_records``.
"""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import strict_json
from orchestrator.wording import listed, short
from shared.errors import UsageError


class Record(NamedTuple):
    """One record of a data file."""

    #: Its line, or " record 3" where many stand on one line; after the file's name and a colon.
    place: str
    fields: Mapping[str, Any]


# Python's csv module refuses cells of more than 131,072 characters unless it is told otherwise;
# how long a text may be is said by ``data_records``.
_LONGEST_CELL = 2**31 - 1

#: What becomes of an error in one record: it is raised, or noted so that the next one is read.
Fault = Callable[[UsageError], None]


def refuse(error: UsageError) -> None:
    """Raise it: the first bad record ends the reading."""
    raise error


def read_records(text: str, path: Path, fault: Fault) -> Iterator[Record]:
    """The records of a file with a suffix in READERS. UsageError: file, line, what to do."""
    return READERS[path.suffix.lower()](text, path, fault)


def _json(text: str, path: Path, fault: Fault) -> Iterator[Record]:
    located = enumerate(strict_json.parse_array(text, path), 1)
    begun = list(itertools.islice(located, 2))
    # Where records share a line, its number says nothing.
    crowded = len({one.line for _, one in begun}) < len(begun)
    for number, (line, value) in itertools.chain(begun, located):
        try:
            yield _record(value, path, f" record {number}" if crowded else str(line))
        except UsageError as error:
            fault(error)


def json_lines(text: str, path: Path, fault: Fault) -> Iterator[Record]:
    """The records of JSON Lines; ``path`` is only what messages call them."""
    # str.splitlines would also break at U+2028 and its kin, which JSON allows inside strings.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield _record(strict_json.parse(line, path, number), path, str(number))
            except UsageError as error:
                fault(error)


def _record(value: Any, path: Path, place: str) -> Record:
    if not isinstance(value, dict):
        hint = " A JSON array belongs in a .json file." if isinstance(value, list) else ""
        raise UsageError(
            f"{path}:{place}: a record must be an object like "
            f'{{"text": "..."}}, found {short(value)}.{hint}'
        )
    return Record(place, value)


class _Row(NamedTuple):
    line: int
    cells: list[str]


def _csv(text: str, path: Path, fault: Fault) -> Iterator[Record]:
    rows = _csv_rows(text, path)
    header_line, cells = next(rows)
    header = [name.strip() for name in cells]
    _check_header(header, f"{path}:{header_line}")
    # pandas writes its row numbers first, in a column without a name.
    unnamed = next((at for at, name in enumerate(header) if name), len(header))
    for number, (line, cells) in enumerate(rows, 1):
        if len(cells) != len(header):
            fault(UsageError(f"{path}:{line}: {_uneven(number, cells, header)}"))
            continue
        pairs = list(zip(header[unnamed:], cells[unnamed:], strict=True))
        for at, (name, cell) in enumerate(pairs, unnamed + 1):
            if cell and not name:
                raise UsageError(
                    f"{path}:{header_line}: column {at} has no name, and record {number} has a"
                    f" value in it: {short(cell)}. Name it in the header."
                )
        yield Record(str(line), {name: cell for name, cell in pairs if name})


def _uneven(number: int, cells: list[str], header: list[str]) -> str:
    """That a row has not the cells that the header names, which, and what to do."""
    what = f"record {number} has {len(cells)} cell{'s' if len(cells) != 1 else ''}, and the header"
    what += f" names {len(header)} columns: "
    if len(cells) < len(header):
        lacking = listed([short(name) for name in header[len(cells) :]])
        return (
            f"{what}{lacking} {'is' if len(header) - len(cells) == 1 else 'are'} missing. Write an"
            f" empty cell for each, or take the column out of the header: {short(cells)}"
        )
    return f"{what}{short(cells)}. Put a cell that holds a separator in double quotes."


def _csv_rows(text: str, path: Path) -> Iterator[_Row]:
    first, _, rest = text.partition("\n")
    # What Excel is told of the separator, on a line of its own.
    told = re.fullmatch(r'"?sep=(.)"?\s*', first)
    separator = told[1] if told else _separator(first, path)
    reader = csv.reader(
        io.StringIO(rest if told else text, newline=""), strict=True, delimiter=separator
    )
    longest = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield from _rows(reader, path, 1 if told else 0)
    finally:
        csv.field_size_limit(longest)


def _rows(reader: Any, path: Path, before: int) -> Iterator[_Row]:
    """The rows that are not empty; ``before``: lines of the file before the reader's first."""
    while True:
        line = reader.line_num + 1 + before
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(
                f"{path}:{line}: not valid CSV: {error}. Close the quote of this row; "
                'write a quote inside a quoted cell as "".'
            ) from error
        if cells:
            yield _Row(line, cells)


def _separator(header: str, path: Path) -> str:
    """What divides the cells of the header: the most frequent one."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    outside = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=outside.count)


def _check_header(header: list[str], where: str) -> None:
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if twice:
        raise UsageError(
            f"{where}: the header names {short(twice[0])} twice. Give each column its own name."
        )


#: Accepted suffixes.
READERS: Mapping[str, Callable[[str, Path, Fault], Iterator[Record]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
}
