"""Data files to records: JSON arrays, JSON Lines and CSV, each record with its line.

Knows the formats, not what a record means: that is ``data_records``.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import strict_json
from orchestrator.wording import did_you_mean, listed, short
from shared.errors import UsageError


class Record(NamedTuple):
    """One record of a data file."""

    line: int
    fields: Mapping[str, Any]


#: What becomes of an error in one record: it is raised, or noted so that the next one is read.
Fault = Callable[[UsageError], None]


def refuse(error: UsageError) -> None:
    """Raise it: the first bad record ends the reading."""
    raise error


class Reading(NamedTuple):
    """How data is read."""

    #: The column that must be there.
    text_column: str = "text"
    fault: Fault = refuse


def read_records(text: str, path: Path, reading: Reading) -> Iterator[Record]:
    """The records of a file with a suffix in READERS. UsageError: file, line, what to do."""
    return READERS[path.suffix.lower()](text, path, reading)


def _json(text: str, path: Path, reading: Reading) -> Iterator[Record]:
    for line, value in strict_json.parse_array(text, path):
        try:
            yield _record(value, path, line)
        except UsageError as error:
            reading.fault(error)


def json_lines(text: str, path: Path, reading: Reading) -> Iterator[Record]:
    """The records of JSON Lines; ``path`` is only what messages call them."""
    # str.splitlines would also break at U+2028 and its kin, which JSON allows inside strings.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield _record(strict_json.parse(line, path, number), path, number)
            except UsageError as error:
                reading.fault(error)


def _record(value: Any, path: Path, line: int) -> Record:
    if not isinstance(value, dict):
        hint = " A JSON array belongs in a .json file." if isinstance(value, list) else ""
        raise UsageError(
            f"{path}:{line}: a record must be an object like "
            f'{{"text": "..."}}, found {short(value)}.{hint}'
        )
    return Record(line, value)


def _csv(text: str, path: Path, reading: Reading) -> Iterator[Record]:
    rows = _csv_rows(text, path)
    line, cells = next(rows)
    header = [name.strip() for name in cells]
    _check_header(header, f"{path}:{line}", reading.text_column)
    for line, cells in rows:
        if len(cells) != len(header):
            error = UsageError(
                f"{path}:{line}: {len(cells)} cells, but the header names {len(header)} columns: "
                f"{short(cells)}. Put a cell that holds a comma in double quotes."
            )
            reading.fault(error)
            continue
        # CSV cannot say null: an empty cell of an optional column is an absent value.
        absent = {"id", "reference", "domain"}
        pairs = zip(header, cells, strict=True)
        yield Record(line, {name: cell for name, cell in pairs if cell or name not in absent})


class _Row(NamedTuple):
    line: int
    cells: list[str]


def _csv_rows(text: str, path: Path) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
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


def _check_header(header: list[str], where: str, text_column: str) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise UsageError(
            f"{where}: the header names {short(twice[0])} twice. Give each column its own name."
        )
    if text_column not in header:
        names = listed([short(name) for name in header])
        hint = did_you_mean(text_column, header)
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            hint = " Separate the cells by commas."
        raise UsageError(
            f"{where}: the header needs a column {text_column!r}, it names {names}.{hint} "
            "The first row must be the header."
        )
    if "" in header:
        raise UsageError(
            f"{where}: column {header.index('') + 1} has no name. Name it in the header."
        )


#: Accepted suffixes.
READERS: Mapping[str, Callable[[str, Path, Reading], Iterator[Record]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": _json,
    ".csv": _csv,
}
