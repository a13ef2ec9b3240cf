"""Reports as files: of one run into its directory, of several beside their directories."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from orchestrator.interrupts import Interrupted, Interrupts
from orchestrator.report.html.collect import collect
from orchestrator.report.html.comparison import comparison_page, refuse_unlike
from orchestrator.report.html.facts import Facts
from orchestrator.report.html.page import run_page
from orchestrator.run_directory import RunDirectory, write_atomically
from orchestrator.run_names import file_mode
from shared.errors import EnvironmentNotReady

NAME = "report.html"


def write_report(
    directory: RunDirectory, path: Path | None = None, stopped: str | None = None
) -> Facts:
    """Write ``report.html``, or another file, whole or not at all; returns what it says.

    Raises UsageError if the run cannot be read, EnvironmentNotReady if the file cannot be written.
    """
    facts = collect(directory, stopped)
    if path:
        _write(path, run_page(facts))
    else:
        _write(directory.path / NAME, run_page(facts), file_mode(directory.path))
    return facts


def write_comparison(directories: Sequence[RunDirectory], path: Path, force: bool) -> list[Facts]:
    """Write one page about several runs; returns what it says, run by run.

    Raises UsageError if their data or rewards differ, unless ``force``; else as ``write_report``.
    """
    several = [collect(directory) for directory in directories]
    if not force:
        refuse_unlike(several)
    _write(path, comparison_page(several))
    return several


def try_report(directory: RunDirectory, stopped: str | None = None) -> str | None:
    """Write the report of a run that has ended or stopped; returns why not, or None.

    Raises nothing: the result of a run is worth more than its picture.
    """
    why = "interrupted"
    # Whatever goes wrong here, the run has its result and its exit code.
    with contextlib.suppress(Interrupted), Interrupts().at_once():
        try:
            write_report(directory, stopped=stopped)
        except Exception as error:
            why = str(error) or type(error).__name__
        else:
            return None
    return f"no {NAME}: {why}; try: orchestrator report {directory.name}"


def _write(path: Path, html: str, mode: int = 0o666) -> None:
    try:
        write_atomically(path, html, mode)
    except OSError as error:
        raise EnvironmentNotReady(f"cannot write {path}: {error.strerror or error}") from None
