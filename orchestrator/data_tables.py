"""Tables of Arrow, from Parquet files, saved datasets and the Hugging Face Hub, to records.

pyarrow and datasets are extras, loaded only here, when a table is read.
"""

import contextlib
import math
import re
from collections.abc import Collection, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.data_readers import Fault, Record
from orchestrator.text_files import check_regular_file
from orchestrator.wording import short
from shared.errors import EnvironmentNotReady, UsageError

#: How a dataset of the Hub is named.
HUB = "hf://"


class HubDataset(NamedTuple):
    """A dataset of the Hub, as it is named."""

    name: str
    config: str | None
    split: str
    revision: str | None


def hub_dataset(ref: str) -> HubDataset:
    """``hf://OWNER/NAME[@REVISION][/CONFIG][/SPLIT]``, the split ``train`` if none is named.

    UsageError for anything else.
    """
    words = ref.removeprefix(HUB).split("/")
    name, _, revision = "/".join(words[:2]).partition("@")
    rest = words[2:]
    well_formed = re.fullmatch(r"[\w.-]+/[\w.-]+", name) and len(rest) <= 2 and all(rest)
    if not ref.startswith(HUB) or not well_formed:
        raise UsageError(
            f"{ref}: names no dataset of the Hub. Write hf://OWNER/NAME/SPLIT, or"
            " hf://OWNER/NAME/CONFIG/SPLIT; @REVISION after the name pins one."
        )
    config = rest[0] if len(rest) == 2 else None
    return HubDataset(name, config, rest[-1] if rest else "train", revision or None)


def parquet_records(path: Path, needed: Collection[str] | None, fault: Fault) -> Iterator[Record]:
    """The rows of a Parquet file; a record's line is its row, from 1. UsageError."""
    check_regular_file(path, (".parquet",))
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise _no_extra(str(path), "parquet") from None
    try:
        names = parquet.read_schema(path).names
        table = parquet.read_table(path, columns=_wanted(names, needed))
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{path}: not a Parquet file: {_line(error)}. Write it again.") from None
    return _records(table, str(path), fault)


def saved_records(folder: Path, needed: Collection[str] | None, fault: Fault) -> Iterator[Record]:
    """The rows of a dataset that ``save_to_disk`` of datasets wrote. UsageError."""
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(path.parent.name for path in folder.glob("*/state.json"))
        raise UsageError(
            f"{folder}: holds splits. Name one: {folder}/{splits[0] if splits else ''}"
        )
    datasets = _datasets(str(folder))
    try:
        found = datasets.load_from_disk(str(folder))
        table = _table(found, needed)
    except Exception as error:
        raise UsageError(f"{folder}: not a saved dataset: {_line(error)}.") from None
    return _records(table, str(folder), fault)


def hub_records(ref: str, needed: Collection[str] | None, fault: Fault) -> Iterator[Record]:
    """The rows of a dataset of the Hub, or of its copy in the cache.

    Raises UsageError for one that is not there, EnvironmentNotReady if the Hub does not answer.
    """
    wanted = hub_dataset(ref)
    datasets = _datasets(ref)
    try:
        found = datasets.load_dataset(
            wanted.name, wanted.config, split=wanted.split, revision=wanted.revision
        )
        table = _table(found, needed)
    except (datasets.exceptions.DatasetsError, ValueError, FileNotFoundError) as error:
        raise UsageError(f"{ref}: {_line(error)}") from None
    except Exception as error:
        # Each way to the Hub has errors of its own; what they share is that nothing came.
        raise EnvironmentNotReady(
            f"{ref}: the Hub did not give it ({type(error).__name__}: {_line(error)});"
            " check the network, or download it and name the file"
        ) from None
    return _records(table, ref, fault)


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder holds a dataset, or splits, written by ``save_to_disk``."""
    with contextlib.suppress(OSError):
        return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))
    return False


def _datasets(ref: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise _no_extra(ref, "datasets") from None
    return datasets


def _no_extra(ref: str, extra: str) -> UsageError:
    return UsageError(
        f"{ref}: reading it takes the extra {extra!r}, which is not installed."
        f" Install it: pip install 'concept-grpo[{extra}]'"
    )


def _wanted(names: Collection[str], needed: Collection[str] | None) -> list[str]:
    return [name for name in names if needed is None or name in needed]


def _table(found: Any, needed: Collection[str] | None) -> Any:
    chosen = found.select_columns(_wanted(found.column_names, needed))
    return chosen.with_format("arrow")[:]


def _records(table: Any, name: str, fault: Fault) -> Iterator[Record]:
    for number, row in enumerate(table.to_pylist(), 1):
        try:
            fields = {column: _json_value(value, column) for column, value in row.items()}
        except TypeError as error:
            fault(UsageError(f"{name}:{number}: {error}"))
        else:
            yield Record(str(number), fields)


def _json_value(value: Any, column: str) -> Any:
    """A cell as JSON has it: dates as ISO text, decimals as text, NaN as null."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _json_value(inner, column) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner, column) for inner in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    raise TypeError(
        f"column {column!r} holds {short(value)}, which JSON cannot."
        " Name the columns that rewards need: --set 'columns.keep=[]'"
    )


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
