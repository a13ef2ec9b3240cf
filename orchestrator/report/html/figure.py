"""A chart with everything that belongs to it: legend, note, and its numbers as a table."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from orchestrator.report.html.charts.lines import Axes, Interval, Line, line_chart
from orchestrator.report.html.facts import Level

#: Rows of the table below a chart.
ROWS = 24


class Key(NamedTuple):
    """A line of a legend; colour 0 is the grey of what stands in the background."""

    name: str
    colour: int
    last: str


class Figure(NamedTuple):
    """A chart, to be put on a page."""

    title: str
    note: str
    svg: Markup
    legend: tuple[Key, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    #: Rows that the table has left out, evenly.
    left_out: int = 0


def lines_figure(axes: Axes, lines: Sequence[Line], note: str = "") -> Figure | None:
    """A chart of lines; None without a single point."""
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    named = [line for line in lines if line.colour]
    keys = [Key(line.name, line.colour, axes.value(line.points[-1][1])) for line in named]
    if len(named) < len(lines):
        keys.append(Key(f"{len(lines) - len(named)} others", 0, ""))
    rows = _rows(axes, lines)
    kept = _thinned(rows)
    header = (axes.x, *(f"{line.name} (95% CI)" if line.intervals else line.name for line in lines))
    return Figure(
        axes.title, note, line_chart(axes, lines), tuple(keys), header, kept, len(rows) - len(kept)
    )


def _rows(axes: Axes, lines: Sequence[Line]) -> list[tuple[str, ...]]:
    cells = [_cells(axes, line) for line in lines]
    return [
        (axes.x_format(x), *(each.get(x, "") for each in cells))
        for x in sorted({x for each in cells for x in each})
    ]


def _cells(axes: Axes, line: Line) -> dict[float, str]:
    by_x = {each.x: each for each in line.intervals}
    return {
        x: axes.value(value)
        + (f" [{axes.value(by_x[x].low)}, {axes.value(by_x[x].high)}]" if x in by_x else "")
        for x, value in line.points
    }


def _thinned(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    step = max(1, -(-len(rows) // ROWS))
    return tuple(row for at, row in enumerate(rows) if at % step == 0 or at == len(rows) - 1)


def level_line(
    name: str, levels: Sequence[Level], colour: int, over_cost: bool, marked: bool = False
) -> Line:
    """Levels over steps, or over the dollars spent by then."""
    at = [level.cost_usd if over_cost else level.step for level in levels]
    return Line(
        name,
        [(x, level.value) for x, level in zip(at, levels, strict=True)],
        colour,
        [
            Interval(x, level.low, level.high)
            for x, level in zip(at, levels, strict=True)
            if level.low is not None and level.high is not None
        ],
        marked,
    )
