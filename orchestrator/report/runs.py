"""Runs as lines for people: a list, one in full, several side by side."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.paired import Comparison
from orchestrator.run_comparison import Compared
from orchestrator.run_overview import Overview

HEADINGS = ("run", "state", "steps", "held-out", "verdict", "cost", "model", "started")
#: Characters of a setting's value in a comparison.
SHOWN_VALUE = 28


def list_lines(runs: Sequence[Overview]) -> Iterator[str]:
    """A table, newest first, and why where a run did not end well."""
    if not runs:
        yield "no runs here; start one with: orchestrator run"
        return
    rows = [HEADINGS, *map(_cells, runs)]
    for line, run in zip(_table(rows), (None, *runs), strict=True):
        yield line
        if run is not None and run.reason and run.state != "running":
            yield f"    {run.reason.splitlines()[0]}"


def show_lines(run: Overview, settings: Mapping[str, Any], files: Sequence[str]) -> Iterator[str]:
    """What is known of a run beside its result: where, when, settings, what to do next."""
    yield f"run        {run.name}"
    yield f"state      {run.state}{f': {run.reason}' if run.reason else ''}"
    yield f"started    {run.started or 'unknown'}"
    yield f"path       {run.path}"
    yield f"model      {run.model or 'unknown'}"
    yield f"steps      {_steps(run)}"
    yield f"held-out   {_held_out(run)}   {run.verdict or ''}".rstrip()
    yield f"cost       {_cost(run)}"
    if settings:
        width = max(map(len, settings))
        for at, (key, value) in enumerate(settings.items()):
            yield f"{'' if at else 'settings':<10} {key:<{width}}  {_short(value, 80)}"
    yield f"files      {'  '.join(files)}"


def compare_lines(found: Compared) -> Iterator[str]:
    """The runs, what differs, their results, and their ends against the first one's."""
    names = [chr(ord("A") + at) if at < 26 else str(at + 1) for at in range(len(found.runs))]
    for name, run in zip(names, found.runs, strict=True):
        yield f"{name}  {run.name}   {run.state}   {_steps(run)} steps   {run.model}"
    if found.different:
        yield f"   different {' and '.join(found.different)}: nothing is compared with each other"
    yield ""
    if found.settings:
        rows = [("setting", *names)]
        rows += [
            (key, *(_short(value, SHOWN_VALUE) for value in values))
            for key, values in found.settings.items()
        ]
        yield from _table(rows)
    else:
        yield "no setting differs"
    yield ""
    rows = [("held-out", "start", "end", "change (95% CI)", "verdict", "cost")]
    for name, run, result in zip(names, found.runs, found.results, strict=True):
        rows.append((name, *_result_cells(run, result), _cost(run)))
    yield from _table(rows)
    yield ""
    for name, comparison in zip(names[1:], found.against_first, strict=True):
        yield f"end of {name} against end of {names[0]}   {_against(comparison)}"


def _cells(run: Overview) -> tuple[str, ...]:
    return (
        run.name,
        str(run.state),
        _steps(run),
        _held_out(run),
        run.verdict or "",
        _cost(run),
        run.model or "",
        run.started or "",
    )


def _steps(run: Overview) -> str:
    planned = "?" if run.steps_planned is None else f"{run.steps_planned}"
    return f"{run.steps_done}/{planned}"


def _held_out(run: Overview) -> str:
    start, end = (_number(value) for value in (run.heldout_start, run.heldout_end))
    return f"{start} -> {end}" if run.heldout_start is not None else "-"


def _cost(run: Overview) -> str:
    return "?" if run.cost_usd is None else f"${run.cost_usd:.4f}" if run.cost_usd else "$0"


def _number(value: float | None) -> str:
    return "…" if value is None else f"{value:.3f}"


def _result_cells(run: Overview, result: Mapping[str, Any] | None) -> tuple[str, str, str, str]:
    if result is None:
        return _number(run.heldout_start), _number(run.heldout_end), "no result", ""
    change = f"{result['gain']:+.3f} [{result['low']:+.3f}, {result['high']:+.3f}]"
    return _number(result["before"]), _number(result["after"]), change, run.verdict or ""


def _against(comparison: Comparison | None) -> str:
    if comparison is None:
        return "not compared: it takes two ends on the same held-out prompts"
    return (
        f"{comparison.gain:+.3f} [{comparison.low:+.3f}, {comparison.high:+.3f}]"
        f"   {comparison.verdict}, better on {comparison.wins}, worse on {comparison.losses}"
        f" of {comparison.prompts} prompts"
    )


def _short(value: Any, most: int) -> str:
    text = "-" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
