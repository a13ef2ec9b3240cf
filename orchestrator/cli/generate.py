"""``orchestrator generate``: prompts of a trained policy, and a model's answers to them."""

import errno
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from orchestrator.cli.options import (
    FiniteRange,
    checked_prices,
    echo_json,
    in_a_terminal,
    price_option,
)
from orchestrator.cli.run_argument import RunName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.answering import Row, Tally, Wish
    from orchestrator.asking import Asker
    from orchestrator.plans import Plan, Reply
    from orchestrator.preflight import Models
    from orchestrator.trained import Policy
    from shared.errors import ConceptGrpoError

TEMPLATE = "template"
POSITIVE = FiniteRange(min=0, min_open=True)


class Shown(NamedTuple):
    """How answers are shown."""

    as_json: bool
    prompt_only: bool


@click.command()
@click.argument("run", type=RunName(), metavar="RUN")
@click.argument("text")
@click.option("-n", "samples", type=click.IntRange(1, 256), default=1, help="Answers per text.")
@click.option(
    "--model", metavar="M", help='Model that writes, or "template"  [default: the run\'s]'
)
@click.option("--greedy", is_flag=True, help="The deployed choice, instead of a draw.")
@click.option("--seed", type=int, help="Of the first draw; the next have the next numbers.")
@click.option("--domain", help="Domain of the text  [default: the one its words name]")
@click.option("--max-tokens", type=int, help="Tokens of an answer  [default: the run's]")
@click.option("--temperature", type=float, help="Sampling temperature  [default: the run's]")
@click.option(
    "--timeout", "timeout_s", type=POSITIVE, default=120.0, metavar="S", help="Seconds per answer."
)
@click.option("--budget", type=POSITIVE, metavar="USD", help="Dollars that all answers may cost.")
@price_option
@click.option(
    "--at-once", type=click.IntRange(1, 1024), default=16, help="Lines in hand at a time."
)
@click.option("--prompt-only", is_flag=True, help="The prompt itself; no model is asked.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per answer.")
def generate(run: str, text: str, **options: Any) -> None:
    """Answer TEXT with a trained policy in front of a model.

    RUN is a name, a part of one, a path, "latest", a policy file, or redis://…#RUN. With "-" for
    TEXT each line of standard input is a text or a JSON object with one, and each answer or error
    is a JSON line, in that order.
    """
    import asyncio

    from orchestrator.trained import Policy

    policy = Policy.load(run)
    shown = Shown(options["as_json"] or text == "-", options["prompt_only"])
    try:
        asyncio.run(_generate(policy, text, options, shown))
    except KeyboardInterrupt:
        click.echo("stopped: lines that were not answered are missing", err=True)
        sys.exit(130)


async def _generate(policy: "Policy", text: str, options: dict[str, Any], shown: Shown) -> None:
    from orchestrator.answering import Wish, by, planned
    from orchestrator.asking import Asker

    models = None if shown.prompt_only else _models(policy, options)
    asker = None
    if models is not None and models.all():
        asker = Asker(models.generator, options["at_once"], options["budget"], models.came)
    answer = planned if models is None else by(asker)
    wish = Wish(answer, *(options[key] for key in ("samples", "seed", "greedy", "domain")))
    try:
        if text == "-":
            await _stream(policy, wish, options["at_once"], asker)
        else:
            await _answer(policy, text, wish, shown)
    finally:
        if asker is not None:
            await asker.aclose()


def _models(policy: "Policy", options: dict[str, Any]) -> "Models":
    """How the answers are written, told before the first one."""
    from orchestrator.config import RunConfig
    from orchestrator.preflight import preflight
    from orchestrator.report.header import model_lines

    model = options["model"] or _models_of_run(policy)
    if model in {"", TEMPLATE}:
        models = preflight(RunConfig())
    else:
        given = ("max_tokens", "temperature", "timeout_s")
        settings = {key: options[key] for key in given if options[key] is not None}
        prices = checked_prices(options["prices"])
        models = policy.models_for(model, max_cost_usd=options["budget"], prices=prices, **settings)
    for line in model_lines(models):
        click.echo(line, err=True)
    return models


def _models_of_run(policy: "Policy") -> str:
    """The model that the policy was trained with, if it can be asked from here; else empty."""
    from shared.settings import OPENROUTER_API_KEY, endpoint_given

    trained = policy.document.generator
    if trained is None or endpoint_given():
        return trained.model if trained else ""
    click.echo(
        f"  note     trained with {trained.model}, which needs {OPENROUTER_API_KEY}: not set",
        err=True,
    )
    return ""


async def _answer(policy: "Policy", text: str, wish: "Wish", shown: Shown) -> None:
    import asyncio

    from orchestrator.answering import answer

    samples = range(wish.samples)
    asked = [asyncio.create_task(answer(policy, text, wish, sample)) for sample in samples]
    try:
        await asyncio.wait(asked)
    finally:
        # After an interruption too: what was answered until then has been paid for.
        _show([task.result() for task in asked if task.done()], shown)


def _show(found: "Sequence[Plan | Reply | ConceptGrpoError]", shown: Shown) -> None:
    """Print the answers. Raises the first error among them."""
    from orchestrator.answering import row_of
    from shared.errors import ConceptGrpoError

    rows = [row_of(each) for each in found if not isinstance(each, ConceptGrpoError)]
    for at, row in enumerate(rows):
        if shown.as_json:
            echo_json(row)
            continue
        written = row["text"] if "text" in row else _prompt(row["plan"])
        click.echo(f"\n{written}" if at else written)
        click.echo(f"  {_described(row)}", err=True)
    for each in found:
        if isinstance(each, ConceptGrpoError):
            raise each


async def _stream(policy: "Policy", wish: "Wish", at_once: int, asker: "Asker | None") -> None:
    from orchestrator.answering import Tally, lines_of, stream
    from shared.errors import UsageError
    from shared.terminal import reader_left

    if sys.stdin is None:
        raise UsageError("'-' is standard input, and it is closed; pipe a text per line into it")
    if in_a_terminal():
        click.echo("  input    a text per line; Ctrl-D ends it", err=True)
    tally = Tally()

    def emit(row: "Row") -> None:
        tally.count(row)
        echo_json(row)
        if reader_left(sys.stdout):
            raise BrokenPipeError(errno.EPIPE, "nobody reads the answers: no more are paid for")

    try:
        await stream(policy, lines_of(sys.stdin.fileno()), wish, at_once, emit)
    finally:
        click.echo(_summary(tally, asker), err=True)
    if tally.failed:
        sys.exit(1)


def _prompt(plan: dict[str, Any]) -> str:
    return "\n\n".join(message["content"] for message in plan["messages"])


def _described(row: "Row") -> str:
    """What was chosen, and what it took."""
    plan = row["plan"]
    parts = [
        plan["domain"],
        " + ".join((*plan["concepts"], *plan["features"])),
        f"log_prob {plan['log_prob']:.2f}",
        "greedy" if plan["seed"] is None else f"seed {plan['seed']}",
    ]
    if "text" in row and row["model"] != TEMPLATE:
        if row["quality"] is not None:
            parts.append(f"quality {row['quality']:.2f}")
        cost = "cost unknown" if row["cost_usd"] is None else f"${row['cost_usd']:.6f}"
        parts += [row["model"], cost, f"{row['seconds']:.1f} s"]
        if row["finish_reason"] == "length":
            parts.append("cut at max_tokens")
    return " · ".join(parts)


def _summary(tally: "Tally", asker: "Asker | None") -> str:
    words = f"{tally.answered} answered, {tally.failed.total()} failed"
    if tally.failed:
        words += f" ({', '.join(f'{kind} {n}' for kind, n in tally.failed.most_common())})"
    spent = asker.spent if asker else None
    known = spent.known_usd if spent else 0.0
    # What no call named and no price tells is unknown, never $0.
    if known or not tally.unpriced:
        words += f" · cost ${known:.6f}"
    else:
        words += f" · cost unknown for {tally.unpriced} answers"
    if spent and spent.perhaps_usd:
        words += f", and at most ${spent.perhaps_usd:.6f} for calls whose answer never came"
    if known and tally.unpriced:
        words += f", and the unknown cost of {tally.unpriced}"
    return words
