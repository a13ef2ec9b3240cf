"""Runs side by side: the settings that differ, the results, and the ends paired by prompt."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.config import RunConfig, config_of_run
from orchestrator.config_files import flatten
from orchestrator.intervals import CONFIDENCE
from orchestrator.paired import Comparison, compare
from orchestrator.run_directory import RunDirectory
from orchestrator.run_identity import identity
from orchestrator.run_overview import Overview, overview
from orchestrator.run_result import result_of
from orchestrator.run_state import RunState
from shared.errors import UsageError

#: Say where and under which name, not what.
NOT_COMPARED = ("name", "runs_dir", "data", "heldout", "domains")


class Compared(NamedTuple):
    """Several runs."""

    runs: tuple[Overview, ...]
    #: The ``heldout`` of each ``run.json``: start, end, gain with its interval, verdict.
    results: tuple[Mapping[str, Any] | None, ...]
    #: Dotted key -> one value per run, where they are not all equal.
    settings: Mapping[str, tuple[Any, ...]]
    #: "data" and "reward", as far as the runs do not have the same.
    different: tuple[str, ...]
    #: For each run but the first: its end against the first one's, on the same held-out prompts.
    #: None where one of them has no end, or they are different.
    against_first: tuple[Comparison | None, ...]


def compared(directories: Sequence[RunDirectory], force: bool = False) -> Compared:
    """Two or more runs side by side.

    The intervals of ``against_first`` hold together, with 95%, for all its comparisons. Raises
    UsageError for fewer than two runs, for damaged ones, and, unless ``force``, for runs with other
    data or another reward, whose numbers say nothing about each other.
    """
    distinct = {directory.path.resolve() for directory in directories}
    if len(distinct) < max(2, len(directories)):
        raise UsageError("name two or more different runs to compare; see: orchestrator runs list")
    seen = tuple(overview(directory.path) for directory in directories)
    for one in seen:
        if one.state is RunState.DAMAGED:
            raise UsageError(f"{one.path}: damaged ({one.reason}); it cannot be compared")
    configs = [config_of_run(each.read_json("config.json")) for each in directories]
    inputs = [each.read_json("inputs.json") for each in directories]
    first, *others = [identity(*each) for each in zip(configs, inputs, strict=True)]
    different = tuple(dict.fromkeys(what for other in others for what in first.unlike(other)))
    if different and not force:
        raise UsageError(
            f"these runs have different {' and '.join(different)}: their rewards say nothing about"
            " each other; --force shows them side by side"
        )
    return Compared(
        seen,
        tuple((result_of(each) or {}).get("heldout") for each in directories),
        _differing([_settings(*each) for each in zip(configs, inputs, strict=True)]),
        different,
        _against_first(directories, bool(different)),
    )


def _settings(config: RunConfig, inputs: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        key: value
        for key, value in flatten(config.model_dump(mode="json"))
        if key not in NOT_COMPARED
    }
    domains = {role: kept for role, kept in inputs.items() if role.startswith("domain-")}
    found["domains"] = [
        f"{ref} ({domains[f'domain-{at}']['sha256'][:8]})" if f"domain-{at}" in domains else ref
        for at, ref in enumerate(config.domains)
    ]
    return found


def _differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    keys = dict.fromkeys(key for each in settings for key in each)
    rows = {key: tuple(each.get(key) for each in settings) for key in keys}
    return {
        key: values
        for key, values in rows.items()
        if any(value != values[0] for value in values[1:])
    }


def _against_first(
    directories: Sequence[RunDirectory], different: bool
) -> tuple[Comparison | None, ...]:
    first, *others = [_end(each) for each in directories]
    if different or first is None:
        return tuple(None for _ in others)
    confidence = 1 - (1 - CONFIDENCE) / len(others)
    return tuple(compare(first, other, confidence) if other else None for other in others)


def _end(directory: RunDirectory) -> Mapping[str, float] | None:
    """Held-out prompt -> reward at the end of a run; None if it has no end."""
    result = result_of(directory)
    final = result and directory.kept_evaluation("final", result["steps"])
    return final.rewards if final else None
