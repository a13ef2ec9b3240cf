"""The charts of one run."""

from collections.abc import Iterator, Sequence

from orchestrator.report.html.charts.histogram import histogram
from orchestrator.report.html.charts.lines import COLOURS, Axes, Line
from orchestrator.report.html.charts.scales import Format, dollars, number, percent, seconds
from orchestrator.report.html.facts import Facts, Moved
from orchestrator.report.html.figure import Figure, level_line, lines_figure

#: Lines of a chart of choices that have a colour and a name.
NAMED = 6
#: Choices that are drawn in the background.
BEHIND = 60
#: Charts that are left out where all is 0.
ONLY_IF_SEEN = ("Clipped share of rollouts", "Staleness")


def thousandths(value: float) -> str:
    """A reward."""
    return f"{value:.3f}"


def signed(value: float) -> str:
    """A gain."""
    return f"{value:+.3f}"


def whole(value: float) -> str:
    """A step."""
    return f"{value:,.0f}"


def result(facts: Facts) -> list[Figure]:
    """Rewards over steps and over dollars, and the gain over the initial policy."""
    figures = [_rewards(facts, over_cost=False)]
    gain = level_line("gain", facts.gains, 2, over_cost=False, marked=True)
    axes = Axes(
        "Held-out gain over the initial policy", "step", "gain", whole, number, signed, 0.0, 0.0
    )
    prompts = min((level.prompts for level in facts.gains), default=0)
    note = (
        f"Paired by prompt ({prompts} prompts), 95% interval over prompts. An interval that"
        " crosses 0 shows nothing."
    )
    figures.append(lines_figure(axes, [gain], note))
    if facts.cost_usd:
        figures.append(_rewards(facts, over_cost=True))
        figures.append(_costs(facts))
    return [figure for figure in figures if figure]


def _rewards(facts: Facts, over_cost: bool) -> Figure | None:
    lines = [
        level_line("training", facts.rollouts.levels, 1, over_cost),
        level_line("held-out", facts.evaluations, 2, over_cost, marked=True),
    ]
    if facts.plain and (whole_run := [*facts.rollouts.levels, *facts.evaluations]):
        ends = [level.cost_usd if over_cost else level.step for level in whole_run]
        value = facts.plain.value
        lines.append(Line("held-out, no concepts", [(min(ends), value), (max(ends), value)], 3))
    title = "Reward over dollars" if over_cost else "Reward over steps"
    x = "dollars spent by then, evaluations included" if over_cost else "step"
    axes = Axes(title, x, "reward", dollars if over_cost else whole, number,
                thousandths, begin=0.0, low=0.0, high=1.0)  # fmt: skip
    note = "" if over_cost else (
        "Bands and bars: 95% interval over the prompts of that point. Training draws from the"
        " exploring policy; held-out takes its best action, at step 0 a drawn one."
    )  # fmt: skip
    return lines_figure(axes, lines, note)


def _costs(facts: Facts) -> Figure | None:
    note = "By the end of each step; the final evaluation comes after the last one."
    return _metrics(facts, "Dollars over steps", (("cost/total", "spent"),), dollars, note)


def reward(facts: Facts) -> Iterator[Figure]:
    """Each part of the training reward, its spread, and the length of what earned it."""
    lines = []
    parts = [curve for name, curve in facts.series.items() if name.startswith("rewards/")]
    for at, curve in enumerate(parts, 1):
        name = curve.name.removeprefix("rewards/").removesuffix("/mean").rpartition(":")[2]
        lines.append(Line(name, curve.points, at if at <= COLOURS else 0))
    axes = Axes("Parts of the reward, in training", "step", "mean", whole, number, thousandths,
                begin=0.0, low=0.0, high=1.0)  # fmt: skip
    for figure in (
        lines_figure(axes, lines),
        _metrics(facts, "Length of completions", (("completion_words", "words"),), number),
        _metrics(facts, "Spread of rewards within a group",
                 (("reward_std", "standard deviation"),), number),
    ):  # fmt: skip
        if figure:
            yield figure


def health(facts: Facts) -> Iterator[Figure]:
    """Whether the update is healthy."""
    for title, names, says, note in (
        ("Entropy of the policy", (("entropy", "entropy"),), number,
         "Nats per action, mean over domains. It falls as the policy decides."),
        ("KL divergence", (("kl", "to the reference"), ("kl_step", "of one step")), number, ""),
        ("Clipped share of rollouts", (("clip_ratio", "clipped"),), percent, ""),
        ("Without signal", (("frac_reward_zero_std", "groups"),
                            ("frac_repeated_actions", "repeated actions")), percent,
         "Groups whose rewards are all equal teach nothing."),
        ("Staleness", (("staleness", "updates"),), number,
         "How many updates older than the newest the policy was that acted."),
        ("Time of a step", (("step_s", "step"),), seconds, ""),
    ):  # fmt: skip
        seen = any(value for name, _ in names for _, value in _points(facts, name))
        figure = _metrics(facts, title, names, says, note)
        if figure and (seen or title not in ONLY_IF_SEEN):
            yield figure


def latency(facts: Facts) -> list[Figure]:
    """How long completions took."""
    found = facts.rollouts.latency
    if found is None:
        return []
    p50, p95 = seconds(found.p50_s), seconds(found.p95_s)
    rows = tuple((f"{seconds(a)} to {seconds(b)}", f"{count:,}") for a, b, count in found.bins)
    bars = Figure(
        "Latency of completions",
        f"{found.completions:,} completions, waits and repeated calls included:"
        f" p50 {p50}, p95 {p95}, slowest {seconds(found.max_s)}.",
        histogram(
            "Latency of completions",
            found.bins,
            ((f"p50 {p50}", found.p50_s), (f"p95 {p95}", found.p95_s)),
            seconds,
        ),
        (),
        ("seconds", "completions"),
        rows,
    )
    names = (("completion_s/p50", "p50"), ("completion_s/p95", "p95"))
    over = _metrics(facts, "Latency over steps", names, seconds)
    return [bars, *([over] if over else [])]


def choices(domain: str, moved: Sequence[Moved]) -> Iterator[Figure]:
    """Concepts and templates of a domain over policy versions, those that moved most in colour."""
    for kind, title in (("concept", "Concepts"), ("template", "Templates")):
        own = [each for each in moved if each.kind == kind]
        ranked = sorted(own, key=lambda each: -_moved(each))
        lines = [
            Line(each.name, each.points, at if at <= NAMED else 0)
            for at, each in enumerate(ranked[: NAMED + BEHIND], 1)
        ]
        axes = Axes(f"{title}: how often each is asked for", "policy version", "probability",
                    whole, percent, low=0.0, high=1.0, show=0.0)  # fmt: skip
        if figure := lines_figure(axes, lines):
            yield figure


def _moved(choice: Moved) -> float:
    """Mean distance from the start."""
    start = choice.points[0][1]
    return sum(abs(value - start) for _, value in choice.points) / len(choice.points)


def _metrics(
    facts: Facts,
    title: str,
    names: Sequence[tuple[str, str]],
    says: Format,
    note: str = "",
) -> Figure | None:
    lines = [Line(label, _points(facts, name), at) for at, (name, label) in enumerate(names, 1)]
    return lines_figure(
        Axes(title, "step", title, whole, says, show=0.0, begin=0.0, low=0.0), lines, note
    )


def _points(facts: Facts, name: str) -> Sequence[tuple[float, float]]:
    return facts.series[name].points if name in facts.series else ()
