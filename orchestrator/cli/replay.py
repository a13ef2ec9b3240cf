"""``orchestrator replay``: train again from stored rollouts, or judge a policy by them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import shown_path
from orchestrator.cli.run_argument import RUNS_DIR, FilePath, RunName

if TYPE_CHECKING:
    from orchestrator.replayed_run import Replay, Value


@click.command()
@click.argument("run", type=RunName(), metavar="RUN")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="reward_weights, reward_funcs or algorithm.*, as of `run`.",
)
@click.option("-o", "output", type=FilePath(), help="Write only the policy, to this file.")
@click.option(
    "--policy",
    type=FilePath(),
    help="Train nothing: judge this policy file by the rollouts. Exit 4 if they cannot tell.",
)
@click.option("--greedy", is_flag=True, help="Judge the best action alone, as it is deployed.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def replay(
    run: str,
    settings: tuple[str, ...],
    output: Path | None,
    policy: Path | None,
    greedy: bool,
    as_json: bool,
) -> None:
    """Train again from a run's rollouts, for $0.

    With another reward or update; or value a policy by them. RUN is a name, a part of one, a path,
    or "latest". The new policy is a run directory of its own.
    """
    from orchestrator.replayed_run import keep, keep_result, train_again, value_of
    from orchestrator.report.replay import lines, replayed
    from orchestrator.run_directory import RunDirectory
    from orchestrator.stored_run import stored_run
    from shared.errors import UsageError

    if output is not None and policy is not None:
        raise UsageError("-o and --policy: with --policy nothing is trained; omit -o")
    again = train_again(stored_run(RunDirectory.find(RUNS_DIR, run)), settings)
    if policy is not None:
        _judge(again, value_of(again, policy, greedy), as_json)
        return
    found = replayed(again, greedy)
    if output is not None:
        _write_policy(again, output)
        place, at = str(output), {"policy": str(output)}
    else:
        directory = keep(again)
        keep_result(directory, found)
        place, at = f"{shown_path(directory.path)}/policy.json", {"run": str(directory.path)}
    if as_json:
        click.echo(json.dumps({**at, **found}))
        return
    for line in lines(again, found, place):
        click.echo(line)


def _judge(again: "Replay", value: "Value", as_json: bool) -> None:
    from orchestrator.report.replay import value_lines, valued
    from shared.errors import GateFailed

    row = valued(value)
    if as_json:
        click.echo(json.dumps(row))
    if row["refused"]:
        raise GateFailed(
            f"{value.name}: no estimate from the rollouts of {again.stored.directory.name}:"
            f" {row['refused']}; judge it on held-out prompts instead"
        )
    if not as_json:
        for line in value_lines(row):
            click.echo(line.strip())


def _write_policy(again: "Replay", path: Path) -> None:
    from orchestrator.policy_file import policy_document
    from orchestrator.run_directory import write_atomically
    from shared.errors import UsageError

    text = json.dumps(policy_document(again.inputs, again.weights), indent=2, ensure_ascii=False)
    try:
        write_atomically(path, text + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None
