"""``orchestrator demo-openrouter``: the stand-in for OpenRouter, until it is stopped."""

import json
import signal
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.standin.plan import Orders
    from orchestrator.standin.settings import Settings


@click.command("demo-openrouter")
@click.option(
    "--port",
    default=0,
    type=click.IntRange(0, 65535),
    help="0 takes a free one.",
    show_default=True,
)
@click.option("--seed", default=0, help="Texts, latencies and faults repeat with it.")
@click.option("--latency-ms", default=0.0, metavar="MS", help="Median time to an answer.")
@click.option("--sigma", default=0.0, help="Spread of the lognormal latency; 0 is fixed.")
@click.option("--rpm", type=int, help="Requests in any minute; more get a 429.")
@click.option("--max-in-flight", type=int, help="Generations at a time; more get a 402.")
@click.option("--fault", "faults", multiple=True, metavar="NAME=RATE", help="Repeatable.")
@click.option("--fault-rate", type=float, metavar="R", help="A mixture of all kinds.")
@click.option("--credit", metavar="USD", help="What the account may spend.")
@click.option("--no-key", is_flag=True, help="Ask for no key.")
@click.option("--json", "as_json", is_flag=True, help="The variables, and the bill, as JSON lines.")
def demo_openrouter(port: int, faults: tuple[str, ...], **options: Any) -> None:
    """Stand in for OpenRouter: no key, no network, no money.

    Prints the two variables that point a run at it; its control API is under /_control.
    """
    import asyncio

    from orchestrator.standin.plan import Orders
    from shared.errors import EnvironmentNotReady

    settings = _settings(options)
    orders = Orders(rates=_rates(faults, options["fault_rate"]))
    try:
        asyncio.run(_serve(settings, orders, port, options["as_json"]))
    except OSError as error:
        raise EnvironmentNotReady(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror}; --port 0 takes a free one"
        ) from error


async def _serve(settings: "Settings", orders: "Orders", port: int, as_json: bool) -> None:
    import asyncio

    from orchestrator.standin.server import serving

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings, port) as server:
        server.desk.memory.plan.take(orders)
        variables = {
            "OPENROUTER_BASE_URL": server.base_url,
            "OPENROUTER_API_KEY": settings.key or "none-needed",
        }
        exports = (f"export {name}={value}" for name, value in variables.items())
        for line in [json.dumps(variables)] if as_json else exports:
            click.echo(line)
        control = server.base_url.replace("/api/v1", "/_control/")
        click.echo(f"stands in for OpenRouter; control: {control}   stop: Ctrl-C", err=True)
        await stop.wait()
        ledger = server.desk.memory.ledger
    if as_json:
        click.echo(json.dumps({"generations": ledger.billed, "usd": ledger.total / 1e9}))
    click.echo(f"stopped; {ledger.billed} generations, ${ledger.total / 1e9:.6f}", err=True)


def _settings(options: dict[str, Any]) -> "Settings":
    from pydantic import ValidationError

    from orchestrator.standin.settings import DEFAULT_KEY, Settings
    from shared.errors import UsageError

    names = ("seed", "latency_ms", "sigma", "rpm", "max_in_flight")
    given = {name: options[name] for name in names}
    given["key"] = None if options["no_key"] else DEFAULT_KEY
    try:
        given["credit"] = None if options["credit"] is None else Decimal(options["credit"])
        return Settings(**given)
    except InvalidOperation:
        raise UsageError(f"--credit {options['credit']!r} is no amount of dollars") from None
    except ValidationError as error:
        wrong = error.errors()[0]
        flag = str(wrong["loc"][0]).replace("_", "-")
        raise UsageError(f"--{flag} {wrong['input']!r}: {wrong['msg']}") from None


def _rates(faults: tuple[str, ...], mixed: float | None) -> dict[str, float]:
    from difflib import get_close_matches

    from orchestrator.standin.faults import FAULTS
    from orchestrator.standin.plan import GROUPS, spread
    from shared.errors import UsageError

    rates = {} if mixed is None else {"mixed": mixed}
    for given in faults:
        name, _, rate = given.partition("=")
        if name not in FAULTS and name not in GROUPS:
            near = get_close_matches(name, FAULTS, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(FAULTS)}"
            raise UsageError(f"--fault {given!r}: no fault is called {name!r}{hint}")
        try:
            rates[name] = float(rate)
        except ValueError:
            raise UsageError(f"--fault {given!r}: NAME=RATE, as in reset=0.05") from None
    if not all(0 <= rate <= 1 for rate in rates.values()):
        raise UsageError("a rate of faults is between 0 and 1")
    try:
        return spread(rates)
    except ValueError as error:
        raise UsageError(f"--fault, --fault-rate: {error}") from None
