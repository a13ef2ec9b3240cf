"""Several runs on one page: the same measures side by side, their curves over each other."""

import string
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from orchestrator.paired import Comparison, compare
from orchestrator.report.html.charts import cells
from orchestrator.report.html.charts.lines import COLOURS, Axes, Line
from orchestrator.report.html.charts.scales import dollars, number
from orchestrator.report.html.facts import Facts
from orchestrator.report.html.figure import Figure, level_line, lines_figure
from orchestrator.report.html.page import render
from orchestrator.report.html.reproduction import ONLY_NAMES
from orchestrator.report.html.run_figures import thousandths, whole
from shared.errors import UsageError


class Side(NamedTuple):
    """One run of a comparison."""

    letter: str
    colour: int
    facts: Facts
    #: Its trained policy against that of the first run, paired by held-out prompt.
    against_first: Comparison | None
    gain: Markup
    difference: Markup


def refuse_unlike(several: Sequence[Facts]) -> None:
    """Raises UsageError unless all runs had the same data and rewards."""
    if unlike := differences(several, [facts.run for facts in several]):
        raise UsageError(
            f"{'; '.join(unlike)}: their rewards cannot be compared; --force shows them anyway"
        )


def differences(several: Sequence[Facts], names: Sequence[str]) -> list[str]:
    """What makes the rewards of runs incomparable with the first run's, in words."""
    first, found = several[0].identity, []
    for name, facts in zip(names[1:], several[1:], strict=True):
        if unlike := first.unlike(facts.identity):
            found.append(f"{name} differs from {names[0]} in its {' and '.join(unlike)}")
    return found


def paired(first: Facts, other: Facts) -> Comparison | None:
    """The other trained policy against the first, on the prompts that both were evaluated on."""
    return compare(first.final_rewards, other.final_rewards)


def comparison_page(several: Sequence[Facts]) -> str:
    """The page. Letters name the runs."""
    sides = _sides(several)
    return render(
        "comparison.html.j2",
        sides=sides,
        sentence=_sentence(sides),
        unlike=differences(several, [side.letter for side in sides]),
        figures=[figure for figure in _figures(sides) if figure],
        settings=_settings(several),
        domains=_deployed(several),
    )


def _sides(several: Sequence[Facts]) -> list[Side]:
    against = [None, *(paired(several[0], other) for other in several[1:])]
    gains = cells.reach((f.heldout.low, f.heldout.high) for f in several if f.heldout)
    ends = cells.reach((found.low, found.high) for found in against if found)
    sides = []
    for at, (facts, found) in enumerate(zip(several, against, strict=True)):
        letter = string.ascii_uppercase[at] if at < 26 else str(at + 1)
        sides.append(
            Side(
                letter,
                at + 1 if at < COLOURS else 0,
                facts,
                found,
                _picture(facts.heldout, gains, f"gain of {letter}"),
                _picture(found, ends, f"{letter} against A"),
            )
        )
    return sides


def _picture(found: Comparison | None, ends: tuple[float, float], title: str) -> Markup:
    return cells.interval(found.gain, found.low, found.high, ends, title) if found else Markup("")


def _sentence(sides: Sequence[Side]) -> str:
    told = [_against(side, side.against_first) for side in sides if side.against_first]
    if not told:
        return "No two of these runs have a final evaluation of the same held-out prompts."
    return "; ".join(told) + "."


def _against(side: Side, found: Comparison) -> str:
    word = {"IMPROVED": "better than A", "WORSE": "worse than A"}.get(
        found.verdict, "not told apart from A"
    )
    return (
        f"{side.letter} is {word}: {found.gain:+.3f}, 95% interval {found.low:+.3f} to"
        f" {found.high:+.3f} on {found.prompts} held-out prompts"
    )


def _figures(sides: Sequence[Side]) -> list[Figure | None]:
    steps = Axes("Held-out reward over steps", "step", "reward", whole, number, thousandths,
                 begin=0.0, low=0.0, high=1.0)  # fmt: skip
    figures = [
        lines_figure(
            steps,
            [level_line(s.letter, s.facts.evaluations, s.colour, False, True) for s in sides],
            "Bars: 95% interval over the prompts of each evaluation.",
        )
    ]
    if any(side.facts.cost_usd for side in sides):
        paid = steps._replace(
            title="Held-out reward over dollars",
            x="dollars spent by then, evaluations included",
            x_format=dollars,
        )
        lines = [level_line(s.letter, s.facts.evaluations, s.colour, True, True) for s in sides]
        figures.append(lines_figure(paid, lines))
    training = steps._replace(title="Training reward over steps")
    lines = [level_line(s.letter, s.facts.rollouts.levels, s.colour, False) for s in sides]
    figures.append(lines_figure(training, [line._replace(intervals=()) for line in lines]))
    for name, title in (("entropy", "Entropy of the policy"), ("kl", "KL to the reference")):
        axes = Axes(title, "step", title, whole, number, show=0.0, begin=0.0)
        curves = [(s, s.facts.series[name]) for s in sides if name in s.facts.series]
        figures.append(
            lines_figure(axes, [Line(s.letter, curve.points, s.colour) for s, curve in curves])
        )
    return figures


def _settings(several: Sequence[Facts]) -> list[tuple[str, list[str]]]:
    """The settings in which any two runs differ."""
    keys = dict.fromkeys(key for facts in several for key in facts.config)
    rows = [(key, [facts.config.get(key, "not set") for facts in several]) for key in keys]
    return [row for row in rows if len(set(row[1])) > 1 and row[0] not in ONLY_NAMES]


def _deployed(several: Sequence[Facts]) -> list[tuple[str, list[str]]]:
    """Domain -> what each run's policy asks for."""
    found: dict[str, list[str]] = {}
    for at, facts in enumerate(several):
        for domain in (facts.explained or {}).get("domains", ()):
            best = domain["deployed"]
            row = found.setdefault(domain["domain"], ["–"] * len(several))
            row[at] = f"{' + '.join(best['concepts'])}, template {best['template']}"
    return list(found.items())
