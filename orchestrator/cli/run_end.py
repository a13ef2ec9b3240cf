"""How a run of the command line ended, in words."""

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import shown_path
from orchestrator.cli.run_argument import RUNS_DIR

if TYPE_CHECKING:
    from orchestrator.budget import Spending
    from orchestrator.run_directory import RunDirectory
    from orchestrator.session import Session


def say_done(session: "Session", found: Mapping[str, Any], as_json: bool) -> None:
    """The result, the report, and what to type next."""
    from orchestrator.report.summary import lines, next_lines

    directory = session.directory
    if as_json:
        click.echo(json.dumps({"event": "done", "run": str(directory.path), **found}))
    else:
        for line in lines(session.inputs, found, shown_path(directory.path)):
            click.echo(line)
    # Now: whatever becomes of it, the result has been said.
    written = _write_report(directory)
    if as_json:
        return
    if written:
        click.echo(f"  report   {shown_path(directory.path)}/report.html")
    for line in next_lines(session.inputs, found, shown_path(directory.path)):
        click.echo(line)


def say_stopped(
    session: "Session", reason: str, bill: "Spending | None", exit_code: int, as_json: bool
) -> None:
    """Why, what is saved and spent, and how to go on. ``bill`` is None if it is not known."""
    directory, steps = session.directory, session.directory.steps_saved()
    if as_json:
        row = {"event": "stopped", "run": str(directory.path), "step": steps, "reason": reason}
        click.echo(json.dumps(row | {"cost_usd": bill and bill.known_usd}))
    spent_words = f"   spent {bill.words}" if bill and any(bill.calls.values()) else ""
    click.echo(
        f"{reason}; saved step {steps} of {session.inputs.steps} -> {shown_path(directory.path)}"
        f"{spent_words}   (exit {exit_code})"
        f"\nresume  orchestrator run --resume {_reference(session)}",
        err=True,
    )


def report_stopped(session: "Session", reason: str) -> None:
    """The report of a run that has a step to show."""
    directory = session.directory
    if directory.steps_saved() and _write_report(directory, reason):
        click.echo(f"report  {shown_path(directory.path)}/report.html", err=True)


def _write_report(directory: "RunDirectory", stopped: str | None = None) -> bool:
    """Whether there is a report now; if not, why not is said."""
    from orchestrator.report.html.write import try_report

    warning = try_report(directory, stopped)
    if warning:
        click.echo(f"warning: {warning}", err=True)
    return warning is None


def how_it_stopped(error: BaseException) -> tuple[str, int]:
    """In words, and the exit code."""
    from orchestrator.interrupts import Interrupted
    from shared.errors import ConceptGrpoError, EnvironmentNotReady, RunStopped
    from shared.redis_address import refusal

    if isinstance(error, Interrupted):
        return "stopped", error.exit_code
    if isinstance(error, RunStopped):
        return error.sentence, error.exit_code
    if isinstance(error, ConceptGrpoError):
        return f"error: {error}", error.exit_code
    words = f"error: Redis failed ({type(error).__name__}: {refusal(error)})"
    return words, EnvironmentNotReady.exit_code


def _reference(session: "Session") -> str:
    """What --resume finds the run by, from the folder where this process was started."""
    directory = session.directory
    if directory.path.parent.resolve() == RUNS_DIR.resolve():
        return directory.name
    return shlex.quote(shown_path(directory.path))
