"""``orchestrator explain``: what a run has learnt, from its own rollouts."""

import json

import click

from orchestrator.cli.run_argument import RUNS_DIR, RunName


@click.command()
@click.argument("run", type=RunName(), metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.option("--card", "as_card", is_flag=True, help="As a policy card in Markdown.")
@click.option("--all", "show_all", is_flag=True, help="Features without a clear effect too.")
def explain(run: str, as_json: bool, as_card: bool, show_all: bool) -> None:
    """What each concept, template and feature is worth. With intervals; calls nothing.

    RUN is a name, a part of one, a path, or "latest".
    """
    from orchestrator.report.card import card
    from orchestrator.report.explain import explanation, lines
    from orchestrator.run_directory import RunDirectory
    from orchestrator.stored_run import stored_run
    from shared.errors import UsageError

    if as_json and as_card:
        raise UsageError("--json and --card: choose one")
    found = explanation(stored_run(RunDirectory.find(RUNS_DIR, run)))
    if as_json:
        click.echo(json.dumps(found))
        return
    for line in card(found) if as_card else lines(found, show_all):
        click.echo(line)
