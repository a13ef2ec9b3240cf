"""``orchestrator estimate`` and ``orchestrator doctor``: before money or time is spent."""

import json
import sys
from typing import Any

import click

from orchestrator.cli.options import SECTIONS, resolve_options, settings_options
from orchestrator.cli.sections import SectionedCommand


@click.command(cls=SectionedCommand, sections={**SECTIONS, "This look": ()})
@settings_options
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def estimate(as_json: bool, **options: Any) -> None:
    """What a run would call and cost. By the endpoint's own prices; spends nothing."""
    from orchestrator.budget import estimate as plan
    from orchestrator.inputs import prepare_new
    from orchestrator.preflight import preflight
    from orchestrator.report.header import header

    config = resolve_options(options).config
    inputs, models = prepare_new(config), preflight(config)
    if as_json:
        click.echo(json.dumps(plan(inputs, models)._asdict()))
        return
    for line in header(inputs, models):
        click.echo(line)


@click.command(cls=SectionedCommand, sections={**SECTIONS, "This look": ()})
@settings_options
@click.option(
    "--redis", "url", metavar="URL", help="Redis server  [default: REDIS_URL, else embedded]"
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def doctor(url: str | None, as_json: bool, **options: Any) -> None:
    """Check what a run needs, and ask each model one small question. Exit 3 if anything fails."""
    from orchestrator.doctor import examine
    from shared.settings import redis_url

    server = redis_url(url)
    found = list(examine(lambda: resolve_options(options).config, server))
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in found]))
    for finding in found if not as_json else []:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what:<8}  {finding.words}")
    sys.exit(0 if all(finding.ok for finding in found) else 3)
