"""Rows of a JSONL file with their places, so that some can be read again without keeping any."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestrator import strict_json


def offset_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(where it begins, row) of each line that is a JSON object; none if there is no file."""
    if not path.is_file():
        return
    offset = 0
    with path.open("rb") as file:
        for text in file:
            row = _object(text)
            if row is not None:
                yield offset, row
            offset += len(text)


def rows_at(path: Path, offsets: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows that begin at ``offsets``, in their order."""
    with path.open("rb") as file:
        for offset in offsets:
            file.seek(offset)
            row = _object(file.readline())
            if row is not None:
                yield row


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        row = strict_json.own(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
