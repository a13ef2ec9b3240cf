"""``orchestrator runs``: list, show, compare and remove runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import in_a_terminal, shown_path
from orchestrator.cli.run_argument import RUNS_DIR, FilePath, RunName

if TYPE_CHECKING:
    from orchestrator.run_directory import RunDirectory

_JSON = click.option("--json", "as_json", is_flag=True, help="As one JSON value.")


@click.group()
def runs() -> None:
    """List, show, compare and remove runs.

    RUN is a name, a part of one, a path, or "latest".
    """


@runs.command("list")
@click.option(
    "--runs-dir",
    type=FilePath(file_okay=False),
    default=RUNS_DIR,
    show_default=True,
    help="Folder of the runs.",
)
@_JSON
def list_(runs_dir: Path, as_json: bool) -> None:
    """List the runs, newest first.

    With state, steps, held-out reward at start and end, verdict, cost, model.
    """
    from orchestrator.report.runs import list_lines
    from orchestrator.run_overview import overviews

    found = overviews(runs_dir)
    if as_json:
        click.echo(json.dumps([run._asdict() for run in found]))
        return
    for line in list_lines(found):
        click.echo(line)


@runs.command()
@click.argument("run", type=RunName(), metavar="RUN")
@_JSON
def show(run: str, as_json: bool) -> None:
    """Show everything about one run.

    State, settings that differ from the defaults, result, files, and how to go on.
    """
    from orchestrator.report.runs import show_lines
    from orchestrator.run_overview import overview
    from orchestrator.run_result import result_of
    from orchestrator.run_state import RunState

    directory = _found(run)
    seen = overview(directory.path)
    damaged = seen.state is RunState.DAMAGED
    settings = {} if damaged else _changed_settings(directory)
    files = sorted(path.name for path in directory.path.iterdir() if path.name[0] != ".")
    result = None if damaged else result_of(directory)
    if as_json:
        row = {**seen._asdict(), "settings": settings, "files": files, "result": result}
        click.echo(json.dumps(row))
        return
    for line in show_lines(seen, settings, files):
        click.echo(line)
    if result is not None:
        _show_result(directory, result)
    elif seen.state in {RunState.INTERRUPTED, RunState.BUDGET, RunState.STOPPED}:
        more = " --budget USD" if seen.state is RunState.BUDGET else ""
        click.echo(f"resume     orchestrator run --resume {directory.name}{more}")


@runs.command()
@click.argument("names", type=RunName(), metavar="RUN RUN…", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also runs with other data or another reward.")
@_JSON
def compare(names: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Compare two or more runs, side by side.

    The settings that differ, results with intervals, costs.

    The ends are paired by held-out prompt; the intervals hold together. Runs with other data or
    another reward are refused: their numbers say nothing about each other.
    """
    from orchestrator.report.runs import compare_lines
    from orchestrator.run_comparison import compared

    found = compared([_found(name) for name in names], force)
    if as_json:
        pairs = [
            each and {**each._asdict(), "verdict": each.verdict} for each in found.against_first
        ]
        runs = [run._asdict() for run in found.runs]
        click.echo(json.dumps({**found._asdict(), "runs": runs, "against_first": pairs}))
        return
    for line in compare_lines(found):
        click.echo(line)


@runs.command()
@click.argument("names", type=RunName(), metavar="RUN…", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--redis", "url", help="Server of the runs' keys  [default: REDIS_URL, else none]")
@_JSON
def rm(names: tuple[str, ...], yes: bool, url: str | None, as_json: bool) -> None:
    """Remove runs for good.

    With the state of their embedded engines, and their keys on a server that is given.

    RUN is a whole name, its first 4 characters or more, or a path.

    A run that is alive is refused, and so is "latest" without --yes: it may be another one by now.
    """
    from orchestrator.run_names import LATEST, run_to_remove
    from orchestrator.run_removal import remove_run
    from shared.errors import UsageError
    from shared.settings import redis_url

    server = redis_url(url)
    if not yes and any(Path(name).name == LATEST for name in names):
        raise UsageError(f"{LATEST!r} may be another run by now: name it, or give --yes")
    paths = list(dict.fromkeys(run_to_remove(RUNS_DIR, name) for name in names))
    if not yes:
        if not in_a_terminal():
            raise UsageError("nobody is here to ask (no terminal); give --yes to remove them")
        for path in paths:
            click.echo(f"  {shown_path(path)}", err=True)
        click.confirm(f"remove {len(paths)} run(s) for good?", abort=True, err=True)
    for path in paths:
        remove_run(path, server)
        if not as_json:
            click.echo(f"removed  {shown_path(path)}", err=True)
    if as_json:
        click.echo(json.dumps({"removed": [shown_path(path) for path in paths]}))


def _found(name: str) -> "RunDirectory":
    from orchestrator.run_directory import RunDirectory

    return RunDirectory.find(RUNS_DIR, name)


def _changed_settings(directory: "RunDirectory") -> dict[str, Any]:
    """The settings of a run that are not the defaults, by dotted key."""
    from orchestrator.config import RunConfig
    from orchestrator.config_files import flatten

    config = directory.read_json("config.json")
    solver = {"algorithm": {"solver": config["algorithm"]["solver"]}}
    defaults = dict(flatten(RunConfig.model_validate(solver).model_dump(mode="json")))
    return {key: value for key, value in flatten(config) if defaults.get(key) != value}


def _show_result(directory: "RunDirectory", result: Any) -> None:
    from orchestrator.inputs import prepare
    from orchestrator.report.summary import lines
    from orchestrator.stored_run import stored_config
    from shared.errors import ConceptGrpoError

    if "heldout" not in result:
        click.echo("result     of a replay: orchestrator runs show --json has it")
        return
    try:
        for line in lines(prepare(stored_config(directory)), result, shown_path(directory.path)):
            click.echo(line)
    except (ConceptGrpoError, LookupError, TypeError, ValueError, AttributeError) as error:
        click.echo(f"result     run.json cannot be shown here ({error}); see --json", err=True)
