"""``orchestrator ab``: which of two runs writes what a judge prefers?"""

from pathlib import Path

import click

from orchestrator.cli.asking import (
    asked,
    checked_way,
    comparison_options,
    confirmed,
    refuse_nonsense,
    shown,
)
from orchestrator.cli.options import checked_prices
from orchestrator.cli.run_argument import FilePath, RunName


@click.command()
@click.argument("run_a", type=RunName(), metavar="RUN_A")
@click.argument("run_b", type=RunName(), metavar="RUN_B")
@click.option(
    "--judge", required=True, metavar="MODEL", help="Model that says which of two texts is better."
)
@click.option(
    "--data",
    required=True,
    type=FilePath(),
    metavar="FILE",
    help="Held-out prompts.",
)
@click.option(
    "-n",
    "samples",
    metavar="N",
    type=click.IntRange(1, 256),
    default=1,
    help="Pairs per prompt  [default: 1]",
)
@click.option(
    "--rubric",
    type=FilePath(),
    metavar="FILE",
    help="What the judge looks for  [built in]",
)
@comparison_options
def ab(
    run_a: str,
    run_b: str,
    judge: str,
    data: Path,
    samples: int,
    rubric: Path | None,
    budget_usd: float | None,
    prices: tuple[str, ...],
    greedy: bool,
    url: str | None,
    workers: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Have a judge compare two runs, blind and in both orders.

    Each run asks its own model by its own policy. Repeated, it pays for no answer twice.
    """
    from orchestrator.comparison.by_judge import compare_texts, duel
    from orchestrator.comparison.by_reward import Options
    from orchestrator.comparison.verdict import result
    from orchestrator.report.comparison import ab_lines, plan_lines
    from orchestrator.run_directory import RunDirectory

    refuse_nonsense(budget_usd)
    way = checked_way(url, dry_run, yes, as_json)
    a, b = (RunDirectory.find(Path("runs"), ref) for ref in (run_a, run_b))
    options = Options(
        data=data,
        samples=samples,
        how="greedy" if greedy else "sampled",
        budget_usd=budget_usd,
        prices=checked_prices(prices),
        workers=workers,
    )
    found = duel(a, b, options, judge, rubric)
    title = f"ab {a.name} (A) and {b.name} (B) on {data}"
    if not confirmed([title, *plan_lines(found)], paid=True, way=way):
        return
    asked(found.folder, way, lambda *with_: compare_texts(found, way.url, *with_))
    shown(found.folder, {"data": str(data), **result(found)}, way, ab_lines)
