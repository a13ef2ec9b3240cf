"""Small pictures that stand in a table's cell: a course, an interval, a share."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from orchestrator.report.html.charts.scales import Scale, span

SPARK_WIDTH, SPARK_HEIGHT = 96, 24
FOREST_WIDTH, FOREST_HEIGHT = 170, 20


def course(points: Sequence[tuple[float, float]], title: str) -> Markup:
    """Probabilities over policy versions, on a scale from 0 to 1; the start as a thin line."""
    if not points:
        return Markup("")
    last = max(points[-1][0], points[0][0] + 1)
    x = Scale(points[0][0], last, 2, SPARK_WIDTH - 5)
    y = Scale(0, 1, SPARK_HEIGHT - 3, 3)
    drawn = " ".join(f"{x(at)},{y(value)}" for at, value in points)
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img">'
        '<title>{}</title><line class="grid" x1="2" x2="{}" y1="{}" y2="{}"/>'
        '<polyline class="line c1" points="{}"/><circle class="dot c1" cx="{}" cy="{}" r="2.2"/>'
        "</svg>"
    ).format(
        SPARK_WIDTH, SPARK_HEIGHT, SPARK_WIDTH, SPARK_HEIGHT, title, SPARK_WIDTH - 5,
        y(points[0][1]), y(points[0][1]), drawn, x(points[-1][0]), y(points[-1][1]),
    )  # fmt: skip


def reach(ends: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """One scale for several intervals, 0 included."""
    found = [(0.0, 0.0), *ends]
    return span([min(low for low, _ in found), max(high for _, high in found)])


def interval(
    value: float, low: float, high: float, ends: tuple[float, float], title: str
) -> Markup:
    """A value with its interval on a scale between ``ends``, and a line at 0."""
    x = Scale(*ends, 5, FOREST_WIDTH - 5)
    sign = "up" if low > 0 else "down" if high < 0 else "open"
    middle = FOREST_HEIGHT / 2
    return Markup(
        '<svg class="forest" viewBox="0 0 {} {}" width="{}" height="{}" role="img">'
        '<title>{}</title><line class="zero" x1="{}" x2="{}" y1="0" y2="{}"/>'
        '<line class="reach {}" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<circle class="point {}" cx="{}" cy="{}" r="3.6"/></svg>'
    ).format(
        FOREST_WIDTH, FOREST_HEIGHT, FOREST_WIDTH, FOREST_HEIGHT, title, x(0), x(0), FOREST_HEIGHT,
        sign, x(low), x(high), middle, middle, sign, x(value), middle,
    )  # fmt: skip


def share(of_one: float, colour: int = 1) -> Markup:
    """A bar for a number in [0, 1]."""
    width = round(80 * min(max(of_one, 0.0), 1.0), 1)
    return Markup(
        '<svg class="share" viewBox="0 0 80 8" width="80" height="8" aria-hidden="true">'
        '<rect class="rest" width="80" height="8" rx="2"/>'
        '<rect class="fill c{}" width="{}" height="8" rx="2"/></svg>'
    ).format(colour, width)
