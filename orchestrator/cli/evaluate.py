"""``orchestrator eval``: is the trained policy better, on prompts that it was not trained on?"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.asking import (
    asked,
    checked_way,
    comparison_options,
    confirmed,
    refuse_nonsense,
    shown,
)
from orchestrator.cli.options import ask_for_trust, checked_prices
from orchestrator.cli.run_argument import FilePath, RunName

if TYPE_CHECKING:
    from orchestrator.comparison.by_reward import Plan


@click.command("eval")
@click.argument("run", type=RunName(), metavar="RUN")
@click.option(
    "--data",
    required=True,
    type=FilePath(),
    metavar="FILE",
    help="Held-out prompts.",
)
@click.option(
    "--baseline",
    default="initial",
    metavar="WHAT",
    help="initial, plain or a RUN  [default: initial]",
)
@click.option(
    "-n",
    "samples",
    metavar="N",
    type=click.IntRange(1, 256),
    help="Samples per prompt  [the run's]",
)
@click.option("--min-gain", type=float, metavar="X", help="Exit 4 if the 95% CI begins below X.")
@click.option(
    "--policy",
    type=FilePath(),
    metavar="FILE",
    help="This policy.json in RUN's place.",
)
@click.option("--model", metavar="MODEL", help="Model that writes, in place of the run's own.")
@click.option("--trust", is_flag=True, help="Let the run's own functions run as you.")
@comparison_options
def evaluate(
    run: str,
    data: Path,
    baseline: str,
    samples: int | None,
    min_gain: float | None,
    policy: Path | None,
    model: str | None,
    trust: bool,
    budget_usd: float | None,
    prices: tuple[str, ...],
    greedy: bool,
    url: str | None,
    workers: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Compare a policy with the initial one and the plain prompt.

    RUN is a name, a part of one, a path, or "latest". Repeated, it pays for no answer twice.
    """
    from orchestrator.comparison.by_reward import Options, plan
    from orchestrator.comparison.by_reward import evaluate as ask
    from orchestrator.report.comparison import eval_lines, plan_lines
    from orchestrator.run_directory import RunDirectory
    from orchestrator.stored_run import stored_config

    refuse_nonsense(budget_usd)
    _refuse_impossible(min_gain)
    way = checked_way(url, dry_run, yes, as_json)
    directory = RunDirectory.find(Path("runs"), run)
    ask_for_trust(directory, trust)
    options = Options(
        data=data,
        samples=samples or stored_config(directory).eval_samples,
        how="greedy" if greedy else "sampled",
        model=model,
        budget_usd=budget_usd,
        prices=checked_prices(prices),
        workers=workers,
    )
    found = plan(directory, options, baseline, policy)
    title = f"eval {directory.name}   {policy or 'trained'} against {baseline} on {data}"
    paid = any(arm.models.all() for arm in found.arms.values())
    if not confirmed([title, *plan_lines(found)], paid, way):
        return
    asked(found.folder, way, lambda *with_: ask(found, way.url, *with_), gated=min_gain is not None)
    kept = _result(found, baseline, min_gain)
    shown(found.folder, kept, way, eval_lines)
    if kept["gate"] and not kept["gate"]["passed"]:
        _fail(kept["gate"]["tested"])


def _refuse_impossible(min_gain: float | None) -> None:
    from shared.errors import UsageError

    if min_gain is not None and not math.isfinite(min_gain):
        raise UsageError(f"--min-gain {min_gain}: give a finite number")


def _result(found: "Plan", baseline: str, min_gain: float | None) -> dict[str, Any]:
    from orchestrator.comparison.gain import gate, result

    kept = result(found)
    names = {name: name for name in found.arms} | {found.baseline: baseline}
    tested = None if min_gain is None else gate(kept["gain"], baseline, min_gain)
    return {
        "run": found.run.name,
        "data": str(found.options.data),
        **kept,
        "names": names,
        "gate": tested and tested._asdict(),
    }


def _fail(words: str) -> None:
    from shared.errors import GateFailed

    raise GateFailed(f"--min-gain: {words}")
