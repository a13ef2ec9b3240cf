"""``orchestrator serve``: the trained policy as an OpenAI-compatible endpoint."""

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import FiniteRange, checked_prices, price_option
from orchestrator.cli.run_argument import RunName

if TYPE_CHECKING:
    from orchestrator.serve.bills import Bills
    from orchestrator.serve.desk import Desk, Keys
    from orchestrator.trained import Policy


@click.command()
@click.argument("run", type=RunName(), metavar="RUN")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free one."
)
@click.option("--model", default="", help="For requests that name none  [default: the run's]")
@click.option("--greedy/--sampled", default=True, show_default=True, help="Best plan, or drawn.")
@click.option("--seed", type=click.IntRange(0), help="With --sampled: the first plan's seed.")
@click.option(
    "--domain", help="Domain of all requests  [default: the one that a request's words name]"
)
@click.option("--follow-ups", is_flag=True, help="Plan later turns of a conversation too.")
@click.option("--upstream", metavar="URL", help="Model's endpoint  [default: OPENROUTER_BASE_URL]")
@click.option("--max-inflight", default=256, show_default=True, type=click.IntRange(1, 100_000),
              help="Requests at a time; more get a 429.")  # fmt: skip
@click.option("--timeout-s", default=600.0, show_default=True, type=FiniteRange(1, 86_400),
              help="For an answer, or between two parts of a stream.")  # fmt: skip
@click.option("--api-key-env", metavar="NAME", help="Variable with a key callers must present.")
@click.option("--budget", "budget_usd", type=float, metavar="USD",
              help="Dollars that all calls may cost; then requests get a 402.")  # fmt: skip
@price_option
@click.option("--json", "as_json", is_flag=True, help="One JSON line when ready.")
def serve(run: str, host: str, port: int, as_json: bool, **options: Any) -> None:
    """Serve a trained policy to every client of the OpenAI API.

    RUN is a name, a part of one, a path, "latest", or a policy.json. Runs until stopped.
    """
    import asyncio
    import sys

    from orchestrator.trained import Policy
    from shared.errors import UsageError

    if options["seed"] is not None and options["greedy"]:
        raise UsageError("--seed is for drawn plans: give --sampled with it")
    keys = _keys(host, options["api_key_env"])
    policy = Policy.load(run)
    if options["domain"] is not None:
        policy.check_domain(options["domain"])
    desk = _desk(policy, keys, options)
    asked = asyncio.run(_serve(policy, desk, host, port, as_json))
    # Calls that were cut off have told by now what they may have cost.
    click.echo(f"cost     {desk.bills.totals}", err=True)
    sys.exit(0 if asked == signal.SIGTERM else 128 + asked)


async def _serve(policy: "Policy", desk: "Desk", host: str, port: int, as_json: bool) -> int:
    """Serve until a signal comes, and return its number."""
    from orchestrator.serve.server import Signals, serving

    async with serving(desk, host, port) as server:
        signals = Signals()
        if as_json:
            click.echo(json.dumps({"url": server.base_url, "pid": os.getpid()}))
        else:
            click.echo(f"export OPENAI_BASE_URL={server.base_url}")
        model = ", ".join(desk.models[1:]) or "none of its own: requests must name one"
        click.echo(f"policy   {policy!r}", err=True)
        click.echo(f"model    {model}   at {desk.upstream.base_url}   stop: Ctrl-C", err=True)
        await signals.came.wait()
        if desk.inflight:
            said = f"stopping: {desk.inflight} requests end first; once more stops at once"
            click.echo(said, err=True)
        await server.drained(signals.again)
    return signals.first


def _desk(policy: "Policy", keys: "Keys", options: dict[str, Any]) -> "Desk":
    from orchestrator.endpoint import DEFAULT_HOST
    from orchestrator.serve.desk import Desk
    from orchestrator.serve.planner import Planner
    from orchestrator.serve.requests import OURS
    from orchestrator.serve.upstream import Upstream
    from shared.errors import UsageError
    from shared.settings import checked_base_url, openrouter_base_url

    generator = policy.document.generator
    model = options["model"] or (generator.model if generator else "")
    given = options["upstream"]
    base_url = openrouter_base_url() if given is None else checked_base_url(given, "--upstream")
    if keys.callers and not keys.endpoint and DEFAULT_HOST in base_url:
        raise UsageError(
            "with --api-key-env callers bring no key for the model: export OPENROUTER_API_KEY"
        )
    choice = {name: options[name] for name in ("greedy", "seed", "follow_ups", "domain")}
    return Desk(
        planner=Planner(policy, model, **choice),
        upstream=Upstream(base_url, options["timeout_s"]),
        keys=keys,
        models=(OURS, *([model] if model else [])),
        policy_version=policy.document.policy_version,
        max_inflight=options["max_inflight"],
        timeout_s=options["timeout_s"],
        log=lambda line: click.echo(line, err=True),
        bills=_bills(policy, base_url, model, options),
    )


def _bills(policy: "Policy", base_url: str, model: str, options: dict[str, Any]) -> "Bills":
    """The money. Raises UsageError for a budget that could not be kept."""
    from orchestrator.catalog import Catalog
    from orchestrator.cli.asking import refuse_nonsense
    from orchestrator.config import RunConfig
    from orchestrator.endpoint import Endpoint
    from orchestrator.serve.bills import Bills
    from orchestrator.serve.quotes import prices_of
    from shared.errors import UsageError

    budget_usd, given = options["budget_usd"], checked_prices(options["prices"])
    refuse_nonsense(budget_usd)
    # What endpoints name needs no list; only a cap must know before.
    catalog = Catalog("openai", {}) if budget_usd is None else Endpoint(base_url).catalog()
    price_of = prices_of(given, catalog)
    if budget_usd is not None and model and price_of(model) is None:
        raise UsageError(
            f"{model} has no price that --budget could go by; give its dollars per million tokens:"
            f" --price {model}=IN,OUT"
        )
    generator = policy.document.generator
    max_tokens = generator.max_tokens if generator else RunConfig().max_tokens
    return Bills(budget_usd, price_of, catalog.dialect, max_tokens)


def _keys(host: str, variable: str | None) -> "Keys":
    from orchestrator.serve.desk import Keys
    from shared.errors import UsageError
    from shared.settings import LOOPBACK, checked_api_key, openrouter_api_key

    if variable is None:
        if host not in LOOPBACK:
            raise UsageError(
                f"--host {host} would let others spend your key's money: put a key that callers"
                " must present into an environment variable, and name it with --api-key-env"
            )
        return Keys(endpoint=openrouter_api_key())
    callers = checked_api_key(os.environ.get(variable), variable)
    if callers is None:
        raise UsageError(f"--api-key-env {variable}: the variable is not set, or empty")
    return Keys(callers, openrouter_api_key())
