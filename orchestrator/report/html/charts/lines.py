"""Lines over steps or dollars, with the band or bar of their interval."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from orchestrator.report.html.charts.scales import Format, Scale, number, outward, span, ticks

WIDTH, HEIGHT = 520, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 14, 44
#: Colours that the style knows; further lines are grey.
COLOURS = 6


class Interval(NamedTuple):
    """The interval at x."""

    x: float
    low: float
    high: float


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    points: Sequence[tuple[float, float]]
    #: From 1; 0 is grey, for what stands in the background.
    colour: int
    intervals: Sequence[Interval] = ()
    #: Points with their bars, for few values, instead of a band.
    marked: bool = False


class Axes(NamedTuple):
    """What a chart is called and how its axes speak."""

    title: str
    x: str
    y: str
    x_format: Format = number
    y_format: Format = number
    #: How single values are said, where that is more exact than the axis.
    says: Format | None = None
    #: A value that the y axis must show, such as 0 for gains.
    show: float | None = None
    #: Where the x axis begins at the latest.
    begin: float = float("inf")
    #: Ends that the y axis never goes beyond.
    low: float = float("-inf")
    high: float = float("inf")

    def value(self, value: float) -> str:
        """A value of the y axis, as a legend or a table says it."""
        return (self.says or self.y_format)(value)


def line_chart(axes: Axes, lines: Sequence[Line]) -> Markup:
    """The chart; nothing without a single point."""
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup("")
    x, y = _scales(axes, lines)
    parts = [
        *_grid(axes, x, y),
        *(_band(line, x, y) for line in lines if line.intervals and not line.marked),
        # What is named first lies on top.
        *(_line(line, x, y) for line in reversed(lines)),
        *(mark for line in lines if line.marked for mark in _marks(axes, line, x, y)),
    ]
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(WIDTH, HEIGHT, axes.title, _described(axes, lines), Markup("").join(parts))


def _scales(axes: Axes, lines: Sequence[Line]) -> tuple[Scale, Scale]:
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    ys += [end for line in lines for each in line.intervals for end in each[1:]]
    ys += [] if axes.show is None else [axes.show]
    x_low, x_high = span([*xs, min(axes.begin, *xs)])
    y_low, y_high = span(ys, 1e-3)
    # The limits hold for bands; no point is cut off.
    points = [y for line in lines for _, y in line.points]
    low, high = min([axes.low, *points]), max([axes.high, *points])
    y_low, y_high = outward(max(y_low, low), min(y_high, high))
    return (
        Scale(x_low, x_high, LEFT, WIDTH - RIGHT),
        Scale(y_low, y_high, HEIGHT - BOTTOM, TOP),
    )


def _grid(axes: Axes, x: Scale, y: Scale) -> Iterator[Markup]:
    for value in ticks(y.low, y.high):
        zero = "zero" if value == 0 and y.low < 0 else "grid"
        yield Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            zero, LEFT, WIDTH - RIGHT, y(value), y(value)
        )
        yield Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
            LEFT - 7, y(value) + 4, axes.y_format(value)
        )
    marks = ticks(x.low, x.high)
    if axes.x_format(0.5) == axes.x_format(0.0):
        # An axis of whole numbers has no mark between them, which would be told as one of them.
        marks = [mark for mark in marks if mark == round(mark)]
    for value in marks:
        last = value == marks[-1] and x(value) > WIDTH - 3 * RIGHT
        yield Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>').format(
            x(value) if not last else WIDTH - RIGHT + 6,
            HEIGHT - BOTTOM + 18,
            "end" if last else "middle",
            axes.x_format(value),
        )
    yield Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, axes.x
    )


def _band(line: Line, x: Scale, y: Scale) -> Markup:
    there = [f"{x(each.x)},{y(each.high)}" for each in line.intervals]
    back = [f"{x(each.x)},{y(each.low)}" for each in reversed(line.intervals)]
    return Markup('<polygon class="band c{}" points="{}"/>').format(
        line.colour, " ".join(there + back)
    )


def _line(line: Line, x: Scale, y: Scale) -> Markup:
    points = " ".join(f"{x(at)},{y(value)}" for at, value in line.points)
    return Markup('<polyline class="line c{}" points="{}"/>').format(line.colour, points)


def _marks(axes: Axes, line: Line, x: Scale, y: Scale) -> Iterator[Markup]:
    by_x = {each.x: each for each in line.intervals}
    for at, value in line.points:
        words = f"{line.name}, {axes.x} {axes.x_format(at)}: {axes.value(value)}"
        if at in by_x:
            interval = by_x[at]
            words += f" [{axes.value(interval.low)}, {axes.value(interval.high)}]"
            yield Markup('<line class="bar c{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                line.colour, x(at), x(at), y(interval.low), y(interval.high)
            )
        yield Markup(
            '<circle class="dot c{}" cx="{}" cy="{}" r="3.5"><title>{}</title></circle>'
        ).format(line.colour, x(at), y(value), words)


def _described(axes: Axes, lines: Sequence[Line]) -> str:
    told = [
        f"{line.name}: {axes.value(line.points[0][1])} to {axes.value(line.points[-1][1])}"
        for line in lines[:12]
    ]
    return f"{axes.y} over {axes.x}. From the first to the last point: {'; '.join(told)}."
