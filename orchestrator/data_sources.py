"""Where data comes from: a file, standard input, a saved dataset, the Hugging Face Hub."""

import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.data_readers import READERS, Fault, Record, json_lines, read_records
from orchestrator.data_tables import (
    HUB,
    hub_dataset,
    hub_records,
    is_saved_dataset,
    parquet_records,
    saved_records,
)
from orchestrator.text_files import decoded, read_text
from shared.errors import UsageError

STDIN = "-"
PARQUET = ".parquet"


class Source(NamedTuple):
    """Data as it came, before its columns are named."""

    #: What messages call it.
    name: str
    records: Iterator[Record]
    #: The same as JSON Lines where there is no file to copy.
    kept: str | None = None


def read_source(ref: str, needed: Collection[str] | None, fault: Fault) -> Source:
    """The records that ``ref`` names; of tables only the ``needed`` columns.

    Raises UsageError, and EnvironmentNotReady where a network is needed.
    """
    if ref == STDIN:
        text = _stdin()
        return Source("stdin", json_lines(text, Path("stdin"), fault), text)
    path = Path(ref)
    if ref.startswith(HUB):
        return _kept(ref, hub_records(ref, needed, fault))
    if is_saved_dataset(path):
        return _kept(ref, saved_records(path, needed, fault))
    if path.suffix.lower() == PARQUET:
        return Source(ref, parquet_records(path, needed, fault))
    text = read_text(path, (*READERS, PARQUET))
    return Source(ref, read_records(text, path, fault))


def short_name(ref: str) -> str:
    """What a run on this data is called if nobody names it."""
    if ref == STDIN:
        return "stdin"
    return hub_dataset(ref).name.partition("/")[2] if ref.startswith(HUB) else Path(ref).stem


def _kept(ref: str, records: Iterator[Record]) -> Source:
    rows = list(records)
    lines = (json.dumps(row.fields, ensure_ascii=False) + "\n" for row in rows)
    return Source(ref, iter(rows), "".join(lines))


def _stdin() -> str:
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise UsageError(
            "data '-' is standard input, and nothing is piped into it; pipe JSON Lines"
        )
    return decoded(sys.stdin.buffer.read(), Path("stdin"))
