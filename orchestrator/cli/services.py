"""``orchestrator worker`` and ``orchestrator flower``: the long-running processes beside a run."""

import json
import os
import sys
from pathlib import Path

import click

from orchestrator.cli.options import FiniteRange
from orchestrator.cli.run_argument import FilePath


@click.command()
@click.option(
    "-c",
    "--groups",
    default=None,
    type=click.IntRange(1, 1024),
    help="Groups at a time  [default: WORKER_GROUPS or 32]",
)
@click.option("-n", "--name", default=None, help="Unique name  [default: host-pid]")
@click.option("-Q", "--queues", default=None, help="Queues to take work from  [default: both]")
@click.option(
    "--lease-s",
    default=None,
    type=FiniteRange(1, 600),
    help="Seconds until others take a dead worker's groups  [default: WORKER_LEASE_S or 6]",
)
@click.option("--redis", "url", default=None, help="Redis server  [default: REDIS_URL]")
@click.option(
    "--metrics-port", metavar="PORT", help="Serve Prometheus metrics  [WORKER_METRICS_PORT]"
)
@click.option(
    "--code-dir",
    type=FilePath(exists=True, file_okay=False),
    help="Folder of your own modules  [default: WORKER_CODE_DIR or here]",
)
@click.option("--json", "as_json", is_flag=True, help="Say on stdout who works, as a JSON line.")
def worker(
    groups: int | None,
    name: str | None,
    queues: str | None,
    lease_s: float | None,
    url: str | None,
    metrics_port: str | None,
    code_dir: Path | None,
    as_json: bool,
) -> None:
    """Work for the runs of a Redis server, until stopped."""
    from shared.redis_address import REDIS_URL
    from shared.settings import WORKER_METRICS_PORT, redis_url
    from shared.user_code import WORKER_CODE_DIR, python_command, python_environment

    if code_dir is not None:
        os.environ[WORKER_CODE_DIR] = str(code_dir)
    if url is not None:
        os.environ[REDIS_URL] = redis_url(url) or ""
    if metrics_port is not None:
        os.environ[WORKER_METRICS_PORT] = metrics_port
    options = {"--groups": groups, "--name": name, "--queues": queues, "--lease-s": lease_s}
    given = [word for key, value in options.items() if value for word in (key, str(value))]
    given += ["--json"] if as_json else []
    # The worker package is started by name: the two sides do not import each other.
    command = python_command("worker", *given)
    os.execve(command[0], command, {**os.environ, **python_environment()})


@click.command()
@click.option("--redis", "url", default=None, help="Redis server  [default: REDIS_URL]")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=5555, show_default=True, type=click.IntRange(1, 65535))
@click.option("--json", "as_json", is_flag=True, help="Say on stdout where it is, as a JSON line.")
def flower(url: str | None, address: str, port: int, as_json: bool) -> None:
    """Watch the workers of a Redis server in the browser. Behind a password.

    The login is FLOWER_BASIC_AUTH=user:password, or a new one that is printed. To watch a run on
    the embedded engine: orchestrator run --flower.
    """
    from orchestrator.embedded import check_server
    from orchestrator.flower import BASIC_AUTH, flower_process
    from shared.errors import UsageError
    from shared.settings import redis_url

    server = redis_url(url)
    if server is None:
        raise UsageError(
            "which server? give --redis redis://HOST:PORT/DB or set REDIS_URL;"
            " to watch a run on the embedded engine: orchestrator run --flower"
        )
    check_server(server)
    process = flower_process(server, address, port)
    shown = "as in FLOWER_BASIC_AUTH" if os.environ.get(BASIC_AUTH) else process.login
    if as_json:
        click.echo(json.dumps({"address": process.address, "login": shown}))
    else:
        click.echo(f"flower   {process.address}   login {shown}", err=True)
    sys.stdout.flush()
    os.execve(sys.executable, process.command, {**os.environ, **process.environment})
