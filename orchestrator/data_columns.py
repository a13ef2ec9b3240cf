"""The columns of other people's data under our names."""

from collections.abc import Mapping
from typing import Any

from orchestrator.config import Columns
from orchestrator.data_readers import Record
from orchestrator.data_shapes import KNOWN, MADE
from orchestrator.wording import did_you_mean, listed, short
from shared.errors import UsageError

#: Our fields, in the order of ``Columns``.
FIELDS = ("text", "reference", "domain", "id")
_ABSENT = object()


class Mapper:
    """Renames records by ``Columns``, and knows which of its columns no record had."""

    def __init__(self, columns: Columns) -> None:
        named = ((field, getattr(columns, field)) for field in FIELDS)
        self._columns = {field: column for field, column in named if column}
        self._keep = columns.keep
        self._unseen = {*self._columns.values(), *(columns.keep or ())}
        self._seen: dict[str, None] = {}

    @property
    def needed(self) -> frozenset[str] | None:
        """Top-level columns that are read at all; None = all."""
        if self._keep is None:
            return None
        mapped = {column.partition(".")[0] for column in self._columns.values()}
        return frozenset({*mapped, *self._columns.values(), *self._keep, *self._others})

    @property
    def _others(self) -> frozenset[str]:
        """Columns that may be our fields, beside those that are named and kept."""
        return frozenset(FIELDS) if "text" in self._columns else KNOWN | {*FIELDS}

    def kept(self, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of an example's further columns those that rewards may read."""
        if self._keep is None:
            return extra
        return {name: extra[name] for name in extra if name in {*self._keep, *MADE}}

    def renamed(self, record: Record, where: str) -> Record:
        """The record under our names. UsageError, from ``where``, if it has no prompt.

        A field of ours whose place another column takes is left out.
        """
        if not self._columns and self._keep is None:
            return record
        self._seen |= dict.fromkeys(record.fields)
        self._unseen -= record.fields.keys()
        taken, ours = set[str](), dict[str, Any]()
        for field, column in self._columns.items():
            value = _at(record.fields, column)
            if value is not _ABSENT:
                self._unseen.discard(column)
                taken.add(column)
                ours[field] = value
            elif field == "text":
                raise UsageError(f"{where}: {_no_column('text', column, record.fields)}")
        rest = {
            name: value
            for name, value in record.fields.items()
            if name not in taken and name not in self._columns
        }
        if self._keep is not None:
            others = self._others
            rest = {n: v for n, v in rest.items() if n in self._keep or n.casefold() in others}
        return Record(record.place, {**ours, **rest})

    def check(self, name: str) -> None:
        """UsageError if a column that was named stands in no record of ``name``."""
        for column in sorted(self._unseen if self._seen else ()):
            key = next((f for f, named in self._columns.items() if named == column), "keep")
            raise UsageError(f"{name}: {_no_column(key, column, self._seen)}")


def _at(fields: Mapping[str, Any], column: str) -> Any:
    """The value of a column, or of ``object.field`` within one."""
    if column in fields:
        return fields[column]
    value: Any = fields
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _no_column(key: str, column: str, fields: Mapping[str, Any]) -> str:
    names = listed([short(name) for name in list(fields)[:8]]) or "none"
    return (
        f"columns.{key} names {column!r}, which is no column here; there are {names}."
        f"{did_you_mean(column, fields)}"
    )
