"""``orchestrator report``: a run as one HTML file, or several runs side by side."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import shown_path
from orchestrator.cli.run_argument import FilePath, RunName

if TYPE_CHECKING:
    from orchestrator.report.html.facts import Facts
    from orchestrator.run_directory import RunDirectory


@click.command()
@click.argument("runs", type=RunName(), metavar="RUN…", nargs=-1, required=True)
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@click.option(
    "-o",
    "output",
    type=FilePath(dir_okay=False),
    metavar="FILE",
    help="Where to write it  [default: report.html in the run's directory]",
)
@click.option("--force", is_flag=True, help="Compare runs with other data or another reward.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def report(
    runs: tuple[str, ...], show: bool, output: Path | None, force: bool, as_json: bool
) -> None:
    """A run, or several side by side, as one HTML file. Calls nothing.

    The file loads nothing from anywhere, so it can be mailed. Several RUNs make a comparison, by
    default runs/comparison--….html. RUN is a name, a part of one, a path, or "latest".
    """
    from orchestrator.report.html.write import NAME, write_comparison, write_report
    from orchestrator.run_directory import RunDirectory

    directories = [RunDirectory.find(Path("runs"), ref) for ref in runs]
    if len(directories) == 1:
        path = output or directories[0].path / NAME
        found = _told(write_report(directories[0], path))
    else:
        path = output or _comparison_path(directories)
        several = write_comparison(directories, path, force)
        found = {"runs": [_told(facts) for facts in several]}
        found["against_first"] = [_against(several[0], other) for other in several[1:]]
    if as_json:
        click.echo(json.dumps({"report": str(path), **found}))
    else:
        click.echo(shown_path(path.resolve()))
    if show:
        _open(path)


def _told(facts: "Facts") -> dict[str, Any]:
    return {
        "run": facts.run,
        "verdict": facts.verdict.word,
        "sentence": facts.verdict.sentence,
        "heldout": facts.heldout and facts.heldout._asdict(),
        "steps": facts.steps_done,
        "cost_usd": facts.cost_usd,
        "rollouts": facts.rollouts.trained + facts.rollouts.held_out,
        "without_reward": facts.rollouts.without_reward,
    }


def _against(first: "Facts", other: "Facts") -> dict[str, Any]:
    from orchestrator.report.html.comparison import paired

    found = paired(first, other)
    measured = found and {**found._asdict(), "verdict": found.verdict}
    return {"run": other.run, "difference": measured}


def _comparison_path(directories: "list[RunDirectory]") -> Path:
    """Beside the first run, named by the last parts of the runs' names."""
    ends = [directory.name.rpartition("-")[2] for directory in directories[:6]]
    return directories[0].path.parent / f"comparison--{'-'.join(ends)}.html"


def _open(path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        click.echo(f"no browser could be started; open {path.resolve().as_uri()}", err=True)
