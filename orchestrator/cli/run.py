"""``orchestrator run``: train, watch, and see what was learnt."""

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from orchestrator.config_files import Resolved
    from orchestrator.engine import Engine
    from orchestrator.session import Session


class Interrupted(BaseException):
    """A signal asked this process to stop; the exit code says which."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@click.command()
@click.argument("configs", nargs=-1, type=click.Path(path_type=Path), metavar="[CONFIG]…")
@click.option("--data", help="Training data: .json, .jsonl or .csv  [default: built-in examples]")
@click.option("--heldout", help="Held-out data  [default: a share of the training data]")
@click.option(
    "--domain", "domains", multiple=True, help="Domain file or built-in name; repeatable."
)
@click.option("--steps", type=int, help="Updates of the policy.")
@click.option("--name", help="First part of the run's name.")
@click.option("--seed", type=int, help="Seed of everything random.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any knob; repeatable.")
@click.option(
    "--redis", "url", help="Redis server with workers  [default: REDIS_URL, else embedded]"
)
@click.option("--workers", type=int, help="Worker processes of the embedded engine.")
@click.option("--resume", "ref", metavar="RUN", help='Go on with a run: name, path or "latest".')
@click.option("--dry-run", is_flag=True, help="Check everything, show every knob, start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON lines on stdout.")
@click.option("--no-live", is_flag=True, help="Plain lines instead of the live view.")
@click.option("--flower", is_flag=True, help="Flower beside the run on loopback.")
def run(ref: str | None, dry_run: bool, as_json: bool, url: str | None, **options: Any) -> None:
    """Train a policy over prompts.

    Without any option: the built-in examples, domains and template engine, on an embedded server.
    """
    from orchestrator.embedded import check_server
    from orchestrator.session import begin, resume
    from shared.errors import UsageError
    from shared.settings import checked_redis_url, redis_url

    server = checked_redis_url(url, "--redis") if url else redis_url()
    if ref:
        if options["configs"] or options["data"] or options["domains"]:
            raise UsageError("--resume takes the run's own config and data; give neither beside it")
        session = resume(Path("runs"), ref)
    else:
        resolved = _resolve(options)
        if dry_run:
            _show_dry_run(resolved, as_json)
            return
        if server:
            check_server(server)
        session = begin(resolved.config)
    _play(session, server, as_json, options["no_live"], options["flower"])


def _resolve(options: Mapping[str, Any]) -> "Resolved":
    from orchestrator.config_files import parse_setting, resolve

    flags = {
        "data": options["data"],
        "heldout": options["heldout"],
        "domains": list(options["domains"]) or None,
        "max_steps": options["steps"],
        "name": options["name"],
        "seed": options["seed"],
        "workers": options["workers"],
    }
    names = {"domains": "--domain", "max_steps": "--steps"}
    given = [
        (key, names.get(key, f"--{key}"), value)
        for key, value in flags.items()
        if value is not None
    ]
    return resolve(options["configs"], [*map(parse_setting, options["settings"]), *given])


def _show_dry_run(resolved: "Resolved", as_json: bool) -> None:
    from orchestrator.config_files import dry_run_lines
    from orchestrator.inputs import prepare
    from orchestrator.report.header import header

    inputs = prepare(resolved.config)
    rows = dry_run_lines(resolved)
    if as_json:
        knobs = {key: {"value": json.loads(value), "source": source} for key, value, source in rows}
        click.echo(json.dumps({"config": knobs, "steps": inputs.steps}))
        return
    width = max(len(key) for key, _, _ in rows)
    for key, value, source in rows:
        click.echo(f"{key:<{width}}  {value}  ({source})")
    for line in header(inputs):
        click.echo(line, err=True)


def _play(
    session: "Session", server: str | None, as_json: bool, no_live: bool, flower: bool
) -> None:
    from contextlib import ExitStack

    from orchestrator.report.header import header
    from orchestrator.report.summary import lines
    from orchestrator.session import play
    from orchestrator.trackers import Tracker
    from orchestrator.trackers.console import Console
    from orchestrator.trackers.json_lines import JsonLines

    inputs, directory = session.inputs, session.directory

    def started(machine: "Engine", first: int) -> None:
        click.echo(_title(session, first), err=True)
        for line in header(inputs, machine.description):
            click.echo(line, err=True)
        if flower:
            shown.enter_context(_flower(machine.url, directory.path / "logs" / "latest"))
        click.echo("", err=True)

    def trackers(first: int) -> list[Tracker]:
        console = shown.enter_context(Console(inputs.steps, first, inputs.domains, not no_live))
        return [console, *([JsonLines(sys.stdout)] if as_json else [])]

    try:
        with _signals(), ExitStack() as shown:
            found = play(session, server, trackers, started)
    except Interrupted as stop:
        _say_interrupted(session)
        sys.exit(stop.exit_code)
    if as_json:
        click.echo(json.dumps({"event": "done", "run": str(directory.path), **found}))
        return
    for line in lines(inputs, found, _shown_path(directory.path)):
        click.echo(line)


def _title(session: "Session", first: int) -> str:
    from importlib.metadata import version

    if session.resumed:
        return f"resuming {session.directory.name} at step {first}/{session.inputs.steps}"
    return f"orchestrator {version('concept-grpo')}   run {session.directory.name}"


def _say_interrupted(session: "Session") -> None:
    steps = session.directory.steps_saved()
    click.echo(
        f"stopped; saved step {steps} of {session.inputs.steps}"
        f" -> {_shown_path(session.directory.path)}"
        f"\nresume  orchestrator run --resume {session.directory.name}",
        err=True,
    )


def _shown_path(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


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


@contextmanager
def _signals() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise Interrupted, once: what follows is the orderly stop."""

    def interrupt(number: int, _: object) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(128 + number)

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
