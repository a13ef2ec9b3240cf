"""What a run's folder says of it in a line, also a damaged one: state, steps, reward, cost.

Reads little: the newest rows of its files, not all of them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.config import config_of_run
from orchestrator.run_directory import RunDirectory
from orchestrator.run_names import run_folders, started_at
from orchestrator.run_result import decision_of, result_of
from orchestrator.run_state import RunState, state_of
from orchestrator.wording import short
from shared.errors import ConceptGrpoError

#: Rows at the end of ``metrics.jsonl`` that are looked at.
NEWEST_BYTES = 65_536


class Overview(NamedTuple):
    """One run, for a list. None stands where the folder does not say."""

    name: str
    path: str
    state: RunState
    #: Why it stopped, or what is damaged; empty where the state says it all.
    reason: str
    #: YYYY-MM-DD HH:MM, in UTC.
    started: str | None
    steps_done: int
    steps_planned: int | None
    #: Held-out reward of the initial policy and of the newest evaluated one.
    heldout_start: float | None
    heldout_end: float | None
    verdict: str | None
    cost_usd: float | None
    model: str | None


def overviews(runs_dir: Path) -> list[Overview]:
    """Every run of a folder, newest first."""
    return [overview(path) for path in run_folders(runs_dir)]


def overview(path: Path) -> Overview:
    """One run. Raises nothing: what cannot be read makes it damaged."""
    try:
        return _read(RunDirectory(path))
    except (
        ConceptGrpoError, OSError, ValueError, LookupError, TypeError, AttributeError,
        OverflowError, RecursionError,
    ) as error:  # fmt: skip
        return Overview(
            path.name, str(path), RunState.DAMAGED, damage(path, error), _started(path),
            0, None, None, None, None, None, None,
        )  # fmt: skip


def damage(path: Path, error: Exception) -> str:
    """What is wrong with a folder, in words."""
    if missing := [name for name in ("config.json", "inputs.json") if not (path / name).exists()]:
        return f"{missing[0]} is missing"
    return f"{type(error).__name__}: {error}".splitlines()[0].replace(f"{path}/", "")


def _read(directory: RunDirectory) -> Overview:
    config = config_of_run(_table(directory, "config.json"))
    inputs = _table(directory, "inputs.json")
    _ = inputs["train"], [entry["sha256"] for entry in inputs.values()]
    standing, result = state_of(directory.path), result_of(directory)
    if result is None:
        done, verdict, cost = directory.steps_saved(), None, _cost(directory)
        start, end = _held_out(directory)
    else:
        done, heldout = result["steps"], result.get("heldout") or {}
        start, end = heldout.get("before"), heldout.get("after")
        decision, cost = decision_of(result, config), _known_cost(result["cost"])
        verdict = decision and decision.word
    planned = standing.steps or (config.max_steps if config.num_epochs is None else None)
    return Overview(
        directory.name, str(directory.path), standing.state, _why(standing.reason, result),
        _started(directory.path), done, planned, start, end, verdict,
        None if cost is None else _number(cost), config.model or "template",
    )  # fmt: skip


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{short(value)} is no number")
    return float(value)


def _why(reason: str, result: Mapping[str, Any] | None) -> str:
    stopped = (result or {}).get("stopped")
    return str(stopped["sentence"]) if stopped else reason


def _table(directory: RunDirectory, name: str) -> dict[str, Any]:
    found = directory.read_json(name)
    if not isinstance(found, dict):
        raise TypeError(f"{name} is no JSON object")
    return found


def _cost(directory: RunDirectory) -> float | None:
    rows = directory.lines("metrics.jsonl", NEWEST_BYTES)
    costs = [row["cost/total"] for row in rows if isinstance(row, dict) and "cost/total" in row]
    return costs[-1] if costs else None


def _held_out(directory: RunDirectory) -> tuple[float | None, float | None]:
    """The held-out reward at the start, and the newest one of a run that has not ended."""
    files = sorted((directory.path / "heldout").glob("*-interval.json"))
    steps = [int(path.name.partition("-")[0]) for path in files[-1:]]
    start = directory.kept_evaluation("initial", 0)
    end = directory.kept_evaluation("interval", steps[0]) if steps else None
    return start.reward if start else None, end.reward if end else None


def _started(path: Path) -> str | None:
    stamp = started_at(path)
    if stamp is None:
        return None
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]} {stamp[9:11]}:{stamp[11:]}"


def _known_cost(cost: Mapping[str, Any]) -> float | None:
    """The total in USD; None where not even an estimate of it is known."""
    total, unknown = cost["total_usd"], sum(cost.get("unknown", {}).values())
    return None if total is None or (unknown and not total) else float(total)
