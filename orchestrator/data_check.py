"""What data files hold, before a run reads them: every fault, not only the first."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from orchestrator import data
from orchestrator.config import Columns
from orchestrator.domains import Domain
from orchestrator.matching import Rule, check_rule, left_out, match, says
from orchestrator.rollouts import Example
from shared.errors import UsageError


class FileCheck(NamedTuple):
    """What one file holds."""

    file: str
    records: int
    #: Those that a run would train on or evaluate.
    usable: int
    #: Domain -> prompts that belong to it.
    domains: Mapping[str, int]
    #: Where prompts stand that match no domain: they are left out.
    unmatched: tuple[str, ...]
    #: Where words only begin with what a domain is called or asks for: compounds, endings.
    beginnings: tuple[str, ...]
    #: That many match no domain, and what to do; None where they are few.
    warning: str | None
    #: Where prompts stand that match several domains equally well.
    ties: tuple[str, ...]
    #: Groups of places with the same prompt, case and blanks aside.
    duplicates: tuple[tuple[str, ...], ...]
    #: Records with a reference.
    references: int
    #: Characters of the prompts: the median, and the most.
    characters_median: float
    characters_most: int
    #: What was taken for what where the data calls our fields otherwise.
    understood: tuple[str, ...]
    #: Columns that rewards may read.
    columns: tuple[str, ...]
    #: What is wrong, in words; a run would refuse the file.
    errors: tuple[str, ...]


class Check(NamedTuple):
    """What several files hold, the training data first."""

    files: tuple[FileCheck, ...]
    #: Pairs of places, in different files, with the same prompt: what is held out is trained on.
    overlap: tuple[tuple[str, str], ...]

    @property
    def usable(self) -> bool:
        """Whether a run would take every file."""
        return not any(file.errors for file in self.files)


def check(
    files: Sequence[str], domains: Sequence[Domain], columns: Columns, rule: Rule = None
) -> Check:
    """Look at every record of every file. Raises nothing for what is wrong with them.

    UsageError: the ``rule`` does not fit the domains.
    """
    check_rule(rule, domains)
    read = [_read(file, columns) for file in files]
    examples = [dataset.examples if dataset else () for dataset, _ in read]
    for at, heldout in enumerate(examples[1:], 1):
        if fault := data.trained_on(examples[0], heldout, files[at]):
            read[at][1].append(fault)
    checks = [_check(file, *found, domains, rule) for file, found in zip(files, read, strict=True)]
    return Check(tuple(checks), tuple(_overlap(examples)))


def _read(file: str, columns: Columns) -> tuple[data.Dataset | None, list[UsageError]]:
    errors: list[UsageError] = []
    try:
        return data.load(file, columns, errors.append), errors
    except UsageError as error:
        return None, [*errors, error]


def _check(
    file: str,
    dataset: data.Dataset | None,
    errors: Sequence[UsageError],
    domains: Sequence[Domain],
    rule: Rule,
) -> FileCheck:
    examples = dataset.examples if dataset else ()
    faults, counts = [str(error) for error in errors], {domain.name: 0 for domain in domains}
    unmatched, ties, beginnings = [], [], []
    for one in examples:
        try:
            found = match(one.text, one.domain, domains, one.source, rule)
        except UsageError as error:
            faults.append(str(error))
            continue
        if found.domain is None:
            unmatched.append(one.source)
            continue
        counts[found.domain.name] += 1
        if found.score and one.domain is None and not says(one.text, found.domain):
            beginnings.append(one.source)
        if found.ties:
            ties.append(one.source)
    usable = sum(counts.values())
    if examples and not usable:
        faults.append(f"{file}: no prompt matches a domain; add a 'domain' field, or give --domain")
    lengths = [len(one.text) for one in examples]
    return FileCheck(
        file=file,
        records=dataset.records if dataset else 0,
        usable=usable,
        domains=counts,
        unmatched=tuple(unmatched),
        beginnings=tuple(beginnings),
        warning=left_out(len(unmatched), len(examples), rule),
        ties=tuple(ties),
        duplicates=tuple(tuple(places) for places in _places(examples).values() if len(places) > 1),
        references=sum(one.reference is not None for one in examples),
        characters_median=median(lengths) if lengths else 0,
        characters_most=max(lengths, default=0),
        understood=dataset.understood if dataset else (),
        columns=dataset.extra_columns if dataset else (),
        errors=tuple(faults),
    )


def _places(examples: Iterable[Example]) -> dict[str, list[str]]:
    """Prompt, case and blanks aside -> where it stands."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in examples:
        found[data.same_text(one.text)].append(one.source)
    return found


def _overlap(files: Sequence[Sequence[Example]]) -> Iterator[tuple[str, str]]:
    places = [_places(examples) for examples in files]
    for at, first in enumerate(places):
        for second in places[at + 1 :]:
            for text in first:
                if text in second:
                    yield first[text][0], second[text][0]
