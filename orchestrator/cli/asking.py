"""What the commands that compare policies share: their flags, how they start, how they stop."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click

from orchestrator.cli.options import in_a_terminal, price_option, shown_path

if TYPE_CHECKING:
    from orchestrator.comparison.asking import Observe
    from orchestrator.comparison.folder import Folder
    from orchestrator.engine import Engine
    from orchestrator.interrupts import Interrupts

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--budget", "budget_usd", type=float, metavar="USD", help="Dollars for it all."),
    price_option,
    click.option(
        "--greedy/--sampled",
        default=True,
        help="Trained policies take their best action, or draw.  [default: greedy]",
    ),
    click.option(
        "--redis", "url", metavar="URL", help="Redis server  [default: REDIS_URL, else embedded]"
    ),
    click.option(
        "--workers", metavar="N", type=click.IntRange(1, 64), help="Embedded worker processes."
    ),
    click.option("--dry-run", is_flag=True, help="Check everything, show the plan, start nothing."),
    click.option("--yes", is_flag=True, help="Start without asking, also where it costs."),
    click.option("--json", "as_json", is_flag=True, help="As one JSON object."),
)


class Way(NamedTuple):
    """How a comparison is started and shown."""

    url: str | None
    dry_run: bool
    yes: bool
    as_json: bool


def comparison_options(command: Command) -> Command:
    """Add the flags that ``eval`` and ``ab`` share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def checked_way(url: str | None, dry_run: bool, yes: bool, as_json: bool) -> Way:
    """The way, with the server that is meant. Raises UsageError for a malformed address."""
    from shared.settings import redis_url

    server = redis_url(url)
    return Way(server, dry_run, yes, as_json)


def refuse_nonsense(budget_usd: float | None) -> None:
    """Raises UsageError for a budget that is none."""
    from shared.errors import UsageError

    if budget_usd is not None and not 0 < budget_usd < float("inf"):
        raise UsageError(f"--budget {budget_usd}: give dollars above 0, or omit it")


def confirmed(lines: list[str], paid: bool, way: Way) -> bool:
    """Show the plan and ask whether to start, where it costs; False for a dry run."""
    for line in lines:
        click.echo(line, err=True)
    if way.dry_run:
        return False
    if paid and not way.yes and in_a_terminal():
        click.confirm("start?", default=True, abort=True, err=True)
    return True


def asked(
    folder: "Folder",
    way: Way,
    work: "Callable[[Interrupts, Callable[[Engine], None], Observe], None]",
    gated: bool = False,
) -> None:
    """Do the work and show it; a stop in order ends the command, and says what is kept.

    ``gated``: a stop leaves a condition unanswered, which is exit code 4 and never 0.
    """
    from redis.exceptions import RedisError

    from orchestrator.interrupts import Interrupted, Interrupts
    from orchestrator.trackers.answers import Answers
    from shared.errors import EnvironmentNotReady, Fenced, GateFailed, RunFailed, RunStopped
    from shared.redis_address import refusal

    interrupts = Interrupts()

    def started(machine: "Engine") -> None:
        click.echo(f"  engine   {machine.description}", err=True)

    try:
        with interrupts.watched(), Answers() as answers:
            work(interrupts, started, lambda sofar: answers.show(*sofar))
    except Interrupted as interrupted:
        _stopped(folder, way, "stopped", interrupted.exit_code)
    except RunStopped as stop:
        code = GateFailed.exit_code if gated and not stop.exit_code else stop.exit_code
        _stopped(folder, way, stop.sentence, code)
    except (RunFailed, EnvironmentNotReady) as error:
        if isinstance(error, Fenced) or not folder.path.exists():
            raise
        _stopped(folder, way, f"error: {error}", error.exit_code)
    except RedisError as error:
        words = f"error: Redis failed ({type(error).__name__}: {refusal(error)})"
        _stopped(folder, way, words, EnvironmentNotReady.exit_code)


def _stopped(folder: "Folder", way: Way, reason: str, code: int) -> NoReturn:
    from orchestrator.budget import spent

    # A comparison is not resumed: its command is repeated.
    reason = reason.replace("resume the run", "repeat the command")
    bill = spent(folder.ledger())
    if way.as_json:
        row = {"event": "stopped", "folder": str(folder.path), "reason": reason}
        click.echo(json.dumps({**row, "total_usd": bill.known_usd}))
    click.echo(
        f"{reason}; spent {bill.words}; what was answered is kept in {shown_path(folder.path)}:"
        " repeat the command to go on",
        err=True,
    )
    sys.exit(code)


def shown(folder: "Folder", found: dict[str, Any], way: Way, lines: Callable[..., Any]) -> None:
    """Keep the result, with what it has cost, and print it."""
    from orchestrator.budget import spent

    cost = spent(folder.ledger())
    found = {**found, "cost": {**cost._asdict(), "total_usd": cost.known_usd}}
    folder.keep_result(found)
    if way.as_json:
        click.echo(json.dumps({**found, "folder": str(folder.path)}))
        return
    for line in lines(found, shown_path(folder.path)):
        click.echo(line)
