"""``orchestrator data``: look at data before a run does."""

import sys

import click

from orchestrator.cli.options import echo_json


@click.group()
def data() -> None:
    """Look at data before a run does."""


@data.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--domain", "domains", multiple=True, help="Domain file or built-in name.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help='columns.text="question" and its like.',
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def check(
    files: tuple[str, ...], domains: tuple[str, ...], settings: tuple[str, ...], as_json: bool
) -> None:
    """Check data files: the training data first, then what is held out.

    Counts per domain, prompts without one, duplicates, references, prompts that stand in two files,
    and everything that a run would refuse. FILE is what --data takes: .jsonl, .json, .csv,
    .parquet, hf://OWNER/NAME/SPLIT, or - for JSON Lines on standard input. Exit 2 if a file is not
    usable.
    """
    from orchestrator.config import DEFAULT_DOMAINS
    from orchestrator.config_files import parse_setting, resolve
    from orchestrator.data_check import check as look
    from orchestrator.domains import load_domains
    from orchestrator.report.data import lines
    from shared.errors import UsageError

    given = [parse_setting(setting) for setting in settings]
    if stray := [key for key, _, _ in given if key.partition(".")[0] not in {"columns", "match"}]:
        raise UsageError(f"--set {stray[0]}: only columns.* and match say how data is read")
    config = resolve((), given).config
    found = look(files, load_domains(domains or DEFAULT_DOMAINS), config.columns, config.match)
    if as_json:
        rows = [file._asdict() for file in found.files]
        row = {"usable": found.usable, "files": rows, "overlap": found.overlap}
        echo_json(row)
    else:
        for line in lines(found):
            click.echo(line)
    sys.exit(0 if found.usable else 2)
