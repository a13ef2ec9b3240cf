"""How many values lie in each bin, on a logarithmic axis."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from orchestrator.report.html.charts.lines import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from orchestrator.report.html.charts.scales import Format, Scale, number, ticks

#: Height of a line of text.
LINE = 14


def histogram(
    title: str,
    bins: Sequence[tuple[float, float, int]],
    marks: Sequence[tuple[str, float]],
    says: Format,
) -> Markup:
    """Bars of (from, to, count), with lines at named values (name, value) such as quantiles."""
    most = max(count for _, _, count in bins)
    x = Scale(math.log10(bins[0][0]), math.log10(bins[-1][1]), LEFT, WIDTH - RIGHT)
    y = Scale(0, most, HEIGHT - BOTTOM, TOP + 6 + LINE * len(marks))
    parts = []
    for value in ticks(0, most, 4):
        parts.append(
            Markup(
                '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
                '<text class="tick" x="{3}" y="{4}" text-anchor="end">{5}</text>'
            ).format(LEFT, WIDTH - RIGHT, y(value), LEFT - 7, y(value) + 4, number(value))
        )
    parts += [_bar(x, y, each, says) for each in bins]
    parts += _x_axis(x, says)
    for at, (name, value) in enumerate(marks):
        # One line each: quantiles may lie on each other.
        parts.append(_mark(name, x(math.log10(max(value, 1e-4))), TOP + 8 + LINE * at))
    told = "; ".join(f"{name}" for name, _ in marks)
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(WIDTH, HEIGHT, title, told, Markup("").join(parts))


def _bar(x: Scale, y: Scale, each: tuple[float, float, int], says: Format) -> Markup:
    low, high, count = each
    left, right, top = x(math.log10(low)), x(math.log10(high)), y(count)
    return Markup(
        '<rect class="fill c1" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
    ).format(
        left + 0.5,
        top,
        round(max(right - left - 1, 1), 1),
        round(y.start - top, 1),
        f"{says(low)} to {says(high)}: {count:,}",
    )


def _x_axis(x: Scale, says: Format) -> list[Markup]:
    marks = [
        math.log10(factor * 10**power)
        for power in range(math.floor(x.low), math.ceil(x.high) + 1)
        for factor in ((1,) if x.high - x.low > 2.2 else (1, 2, 5))
    ]
    inside = [mark for mark in marks if x.low <= mark <= x.high]
    return [
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            x(mark), HEIGHT - BOTTOM + 18, says(10**mark)
        )
        for mark in inside
    ]


def _mark(name: str, at: float, top: float) -> Markup:
    """A line at a value, its name on the side where there is room."""
    right = at < WIDTH / 2
    return Markup(
        '<line class="mark" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>'
        '<text class="tick strong" x="{3}" y="{4}" text-anchor="{5}">{6}</text>'
    ).format(
        at, top - 8, HEIGHT - BOTTOM, at + (5 if right else -5), top,
        "start" if right else "end", name,
    )  # fmt: skip
