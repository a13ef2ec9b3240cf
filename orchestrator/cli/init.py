"""``orchestrator init``: a folder to start from."""

import json
from pathlib import Path

import click

from orchestrator.cli.run_argument import FilePath


@click.command()
@click.argument("folder", metavar="DIR", type=FilePath())
@click.option("--domain-name", metavar="NAME", help="What prompts call it  [default: as DIR]")
@click.option("--force", is_flag=True, help="Also into a folder with other files; replaces none.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def init(folder: Path, domain_name: str | None, force: bool, as_json: bool) -> None:
    """Make a folder that runs as it is.

    With run.toml, domain.toml, train.jsonl, heldout.jsonl, my_rewards.py, .env.example and a short
    README, each with comments on what to change.
    """
    from orchestrator.starter import write_starter

    written = write_starter(folder, domain_name, force)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": [str(path) for path in written]}))
        return
    for path in written:
        click.echo(str(path))
    click.echo(f"next  cd {folder} && orchestrator run run.toml", err=True)
