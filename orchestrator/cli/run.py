"""``orchestrator run``: train, watch, and see what was learnt."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator.cli.options import (
    SECTIONS,
    ask_for_trust,
    given,
    in_a_terminal,
    resolve_options,
    settings_options,
)
from orchestrator.cli.run_argument import RUNS_DIR, RunName
from orchestrator.cli.sections import SectionedCommand

if TYPE_CHECKING:
    from orchestrator.budget import Spending
    from orchestrator.config_files import Resolved
    from orchestrator.engine import Engine
    from orchestrator.inputs import Inputs
    from orchestrator.preflight import Models
    from orchestrator.session import Session


#: Behind the line of the embedded engine.
SCALE_OUT = "      <- scale out: docker compose up"


class Shown(NamedTuple):
    """How a run is shown."""

    as_json: bool
    no_live: bool
    flower: bool
    #: The plan was shown already, to ask whether to start.
    told: bool = False


@click.command(cls=SectionedCommand, sections={**SECTIONS, "This start": ()})
@settings_options
@click.option(
    "--redis", "url", metavar="URL", help="Redis server  [default: REDIS_URL, else embedded]"
)
@click.option(
    "--resume",
    "ref",
    type=RunName(),
    metavar="RUN",
    help='Go on with a run: name, path or "latest".',
)
@click.option("--trust", is_flag=True, help="With --resume: let its own functions run as you.")
@click.option("--dry-run", is_flag=True, help="Check everything, show every knob, start nothing.")
@click.option("--yes", is_flag=True, help="Start without asking, also where it costs.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON lines on stdout.")
@click.option("--no-live", is_flag=True, help="Plain lines instead of the live view.")
@click.option("--flower", is_flag=True, help="Flower beside the run on loopback.")
@click.option(
    "--metrics-port", metavar="PORT", help="Serve Prometheus metrics  [ORCHESTRATOR_METRICS_PORT]"
)
def run(
    url: str | None,
    ref: str | None,
    trust: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    no_live: bool,
    flower: bool,
    metrics_port: str | None,
    **options: Any,
) -> None:
    """Train a policy over prompts.
    Without any option: the built-in examples, domains and template engine, on an embedded server.
    """
    from orchestrator.run_directory import RunDirectory
    from orchestrator.session import begin, resume
    from shared.errors import UsageError
    from shared.settings import ORCHESTRATOR_METRICS_PORT, redis_url
    from shared.settings import metrics_port as checked_port

    server = redis_url(url)
    if metrics_port is not None:
        os.environ[ORCHESTRATOR_METRICS_PORT] = metrics_port
    checked_port(ORCHESTRATOR_METRICS_PORT)
    shown = Shown(as_json, no_live, flower)
    if ref is not None:
        _refuse_beside_resume({**options, "dry-run": dry_run or None})
        ask_for_trust(RunDirectory.find(RUNS_DIR, ref), trust)
        _play(resume(RUNS_DIR, ref, options["budget"]), server, shown)
        return
    if trust:
        raise UsageError("--trust is for --resume: what you start yourself is trusted")
    resolved = resolve_options(options)
    if dry_run:
        _show_dry_run(resolved, as_json)
        return
    inputs, models = _checked(resolved, server)
    ask = bool(models.all()) and not yes and in_a_terminal()
    if ask:
        _confirm(inputs, models, server)
    _play(begin(inputs, models), server, shown._replace(told=ask))


def _refuse_beside_resume(options: dict[str, Any]) -> None:
    from shared.errors import UsageError

    stray = [flag for flag in given(options) if flag != "--budget"]
    if stray:
        named = stray[0].replace("--configs", "a config file").replace("--settings", "--set")
        raise UsageError(
            f"--resume takes the run's own config and data; omit {named} (only --budget may change)"
        )


def _checked(resolved: "Resolved", server: str | None) -> "tuple[Inputs, Models]":
    from orchestrator.embedded import check_server
    from orchestrator.inputs import prepare_new
    from orchestrator.preflight import preflight

    inputs = prepare_new(resolved.config)
    if server:
        check_server(server)
    return inputs, preflight(resolved.config, ask=True)


def _confirm(inputs: "Inputs", models: "Models", server: str | None) -> None:
    from orchestrator.engine import workers_of
    from orchestrator.report.header import header, preflight_line

    workers = f"{len(workers_of(server))} online" if server else "start with the run"
    click.echo(preflight_line(models, f"workers {workers}"), err=True)
    for line in header(inputs, models):
        click.echo(line, err=True)
    click.confirm("start?", default=True, abort=True, err=True)


def _show_dry_run(resolved: "Resolved", as_json: bool) -> None:
    from orchestrator.config_files import dry_run_lines
    from orchestrator.inputs import prepare_new
    from orchestrator.preflight import preflight
    from orchestrator.report.header import header

    inputs, models = prepare_new(resolved.config), preflight(resolved.config)
    rows = dry_run_lines(resolved)
    if as_json:
        knobs = {key: {"value": json.loads(value), "source": source} for key, value, source in rows}
        click.echo(json.dumps({"config": knobs, "steps": inputs.steps}))
        return
    width = max(len(key) for key, _, _ in rows)
    for key, value, source in rows:
        click.echo(f"{key:<{width}}  {value}  ({source})")
    for line in header(inputs, models):
        click.echo(line, err=True)


def _play(session: "Session", server: str | None, shown: Shown) -> None:
    from redis.exceptions import RedisError

    from orchestrator.cli.run_end import how_it_stopped, report_stopped, say_done, say_stopped
    from orchestrator.interrupts import Interrupted, Interrupts
    from orchestrator.report.header import header
    from orchestrator.session import play
    from orchestrator.trackers import Tracker
    from orchestrator.trackers.console import Console
    from orchestrator.trackers.json_lines import JsonLines
    from shared.errors import EnvironmentNotReady, Fenced, RunFailed

    inputs, directory = session.inputs, session.directory

    def started(machine: "Engine", first: int) -> None:
        click.echo(_title(session, machine, first), err=True)
        words = machine.description + (SCALE_OUT if machine.embedded else "")
        told = [f"  engine   {words}"]
        for line in told if shown.told else header(inputs, session.models, words):
            click.echo(line, err=True)
        if shown.flower:
            stack.enter_context(_flower(machine.url, directory.path / "logs" / "latest"))
        click.echo("", err=True)

    def trackers(first: int) -> list[Tracker]:
        console = Console(inputs.steps, first, inputs.domains, live=not shown.no_live)
        stack.enter_context(console)
        return [console, *([JsonLines(sys.stdout)] if shown.as_json else [])]

    interrupts = Interrupts()
    bill: list[Spending] = []
    try:
        with interrupts.watched(), ExitStack() as stack:
            found = play(session, server, interrupts, trackers, started, bill.append)
    except (Interrupted, RunFailed, EnvironmentNotReady, RedisError) as error:
        if isinstance(error, Fenced) or not directory.path.exists():
            raise
        reason, exit_code = how_it_stopped(error)
        say_stopped(session, reason, bill[0] if bill else None, exit_code, shown.as_json)
        if not interrupts.twice:
            report_stopped(session, reason)
        sys.exit(exit_code)
    say_done(session, found, shown.as_json)


def _title(session: "Session", machine: "Engine", first: int) -> str:
    from importlib.metadata import version

    from orchestrator.budget import spending
    from orchestrator.kept_results import kept_results
    from orchestrator.report.header import resuming

    name, redis = session.directory.name, machine.dispatcher.redis
    if session.resumed:
        kept = kept_results(redis, name, first)
        return resuming(name, first, session.inputs, kept, spending(redis, name))
    return f"orchestrator {version('concept-grpo')}   run {name}"


@contextmanager
def _flower(url: str, logs: Path) -> Iterator[None]:
    from orchestrator.children import Child, stop
    from orchestrator.embedded import free_port
    from orchestrator.flower import flower_process

    process = flower_process(url, "127.0.0.1", free_port())
    child = Child(process.command, logs / "flower.log", process.environment)
    click.echo(f"  flower   {process.address}   login {process.login}", err=True)
    try:
        yield
    finally:
        stop([child])
