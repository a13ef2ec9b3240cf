"""The data of a run: files to examples, the held-out split, the batch of a step.

Everything here is a pure function of its arguments, so that a resumed run repeats it exactly.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator import strict_json
from orchestrator.config import Columns
from orchestrator.data_columns import Mapper
from orchestrator.data_readers import Fault, Record, refuse
from orchestrator.data_records import Understood, example
from orchestrator.data_sources import read_source
from orchestrator.rollouts import Example
from orchestrator.wording import short
from shared.errors import UsageError

_BUILTIN = Path(__file__).parent / "builtin" / "examples"
#: The prompts that come with the project, over its three built-in domains.
BUILTIN_TRAIN = _BUILTIN / "train.jsonl"
BUILTIN_HELDOUT = _BUILTIN / "heldout.jsonl"
#: Data that calls our fields as we do.
AS_OURS = Columns()


@dataclass(frozen=True)
class Dataset:
    """One data file, or the records of a program, checked."""

    #: The file, or what else it came from; begins the messages.
    name: str
    examples: tuple[Example, ...]
    #: Those that were read, and those that were left out for a fault.
    records: int
    #: Names of the columns kept in ``Example.extra``, in order of appearance.
    extra_columns: tuple[str, ...]
    #: What was taken for what where the data calls our fields otherwise, as in "text = question".
    understood: tuple[str, ...] = ()
    #: The data as JSON Lines, where there is no file to copy.
    kept: str | None = None


class Split(NamedTuple):
    """Two disjoint parts of the examples, each in the order of the file."""

    train: tuple[Example, ...]
    heldout: tuple[Example, ...]


def load(source: Path | str, columns: Columns = AS_OURS, fault: Fault = refuse) -> Dataset:
    """Read a .jsonl, .ndjson, .json (array), .csv or .parquet file, a saved dataset, hf://, or "-".

    Records without an id get e001, e002, ... by position. ``columns`` says what the data calls our
    fields. UsageError: the file or one of its records is wrong; says where, what and what to do.
    With ``fault``, each wrong record is told to it and left out.
    """
    mapper, faults = Mapper(columns), list[UsageError]()

    def told(error: UsageError) -> None:
        faults.append(error)
        fault(error)

    name, records, kept = read_source(str(source), mapper.needed, told)
    located = []
    for record in records:
        where = f"{name}:{record.place}"
        try:
            located.append((mapper.renamed(record, where), where))
        except UsageError as error:
            told(error)
    mapper.check(name)
    if not located and faults:
        return Dataset(name, (), len(faults), ())
    loaded = _dataset(name, located, told, mapper)
    return replace(loaded, records=len(loaded.examples) + len(faults), kept=kept)


def from_records(records: Sequence[Any], name: str) -> Dataset:
    """Check records that a program holds, in the two shapes that files have.

    UsageError: one of them is wrong; says where (``name[0]`` is the first), what and what to do.
    """
    located = [(value, f"{name}[{at}]") for at, value in enumerate(records)]
    return _dataset(name, [(record_of(value, where), where) for value, where in located])


def record_of(value: Any, where: str) -> Record:
    """A mapping of JSON values as a record. UsageError: it is none; says ``where``."""
    if not isinstance(value, Mapping):
        raise UsageError(
            f'{where}: a record must be an object like {{"text": "..."}}, found {short(value)}.'
        )
    try:
        text = json.dumps(dict(value), default=_listed)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where}: holds what JSON cannot: {error}. Remove it.") from None
    return Record("1", strict_json.parse(text, Path(where)))


def same_text(text: str) -> str:
    """The text by which a prompt is known again: case and spaces do not count."""
    return " ".join(text.casefold().split())


def trained_on(
    train: Sequence[Example], heldout: Sequence[Example], name: str
) -> UsageError | None:
    """The error that every held-out prompt of ``name`` is a training prompt too."""
    texts = {same_text(one.text) for one in train}
    if not heldout or any(same_text(one.text) not in texts for one in heldout):
        return None
    return UsageError(
        f"{name}: every one of its {len(heldout)} prompts stands in the training data too: a"
        " comparison on them says nothing about new prompts. Hold out others, or name no held-out"
        " data: then a share of the training data is held out."
    )


def split(examples: Sequence[Example], fraction: float, seed: int) -> Split:
    """Hold out a fraction of the examples: at least one and not all, if there are two or more.

    Membership depends on the seed and the ids only, not on the order of the file.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"the held-out fraction must lie between 0 and 1, not {fraction!r}.")
    count = min(max(1, int(len(examples) * fraction + 0.5)), len(examples) - 1)
    ranked = sorted(examples, key=lambda one: hashlib.sha256(f"{seed}:{one.id}".encode()).digest())
    heldout = {one.id for one in ranked[: max(0, count)]}
    return Split(
        train=tuple(one for one in examples if one.id not in heldout),
        heldout=tuple(one for one in examples if one.id in heldout),
    )


def batch(
    examples: Sequence[Example], start: int, size: int, seed: int
) -> tuple[tuple[str, Example], ...]:
    """``size`` (group id, example) pairs after ``start`` others: a window on an endless stream of
    shuffled epochs.

    The group id is the example's id; if an example stands more than once in the batch, the later
    ones end in ".2", ".3", ... Group ids are distinct within a batch.
    """
    assert examples, "a batch needs at least one example"
    total = len(examples)
    chosen = [
        examples[_permutation(total, seed, position // total)[position % total]]
        for position in range(start, start + size)
    ]
    ids = _group_ids([one.id for one in chosen])
    return tuple(zip(ids, chosen, strict=True))


def _listed(value: Any) -> Any:
    """An array or number of numpy, or what else can say itself so, as JSON has it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{short(value)} is a {type(value).__name__}")


def _dataset(
    name: str,
    records: Sequence[tuple[Record, str]],
    fault: Fault = refuse,
    mapper: Mapper | None = None,
) -> Dataset:
    if not records:
        raise UsageError(f"{name}: holds no records. Write at least one with a 'text'.")
    width = max(3, len(str(len(records))))
    examples, understood = [], Understood()
    for number, (record, where) in enumerate(records, 1):
        try:
            one = example(record, where, f"e{number:0{width}}", understood)
            examples.append(replace(one, extra=mapper.kept(one.extra)) if mapper else one)
        except UsageError as error:
            fault(error)
    columns = dict.fromkeys(column for loaded in examples for column in loaded.extra)
    return Dataset(
        name,
        tuple(_distinct(examples, fault)),
        len(records),
        tuple(columns),
        tuple(f"{ours} = {' or '.join(theirs)}" for ours, theirs in understood.items()),
    )


@lru_cache(maxsize=8)
def _permutation(total: int, seed: int, epoch: int) -> tuple[int, ...]:
    # Of all that the random module offers, only random() is promised to repeat in later Pythons.
    generator = random.Random(f"{seed}:{epoch}")
    keys = [generator.random() for _ in range(total)]
    return tuple(sorted(range(total), key=keys.__getitem__))


def _group_ids(ids: Sequence[str]) -> list[str]:
    # An example may itself be called "a.2": its name is taken before any suffix is given.
    taken, seen, named = set(ids), set[str](), list[str]()
    for one in ids:
        name, copy = one, 1
        while (copy == 1 and one in seen) or (copy > 1 and name in taken):
            copy += 1
            name = f"{one}.{copy}"
        seen.add(one)
        taken.add(name)
        named.append(name)
    return named


def _distinct(examples: Iterable[Example], fault: Fault) -> Iterator[Example]:
    """The examples whose id no earlier one has."""
    first: dict[str, Example] = {}
    for one in examples:
        other = first.setdefault(one.id, one)
        if other is one:
            yield one
        else:
            fault(
                UsageError(
                    f"{one.source}: the id {one.id!r} is already used at {other.source}. "
                    "Give each record its own id, or none."
                )
            )
