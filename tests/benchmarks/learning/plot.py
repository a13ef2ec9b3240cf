"""The curves as one SVG file, drawn by hand: no plotting library is needed."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from tests.benchmarks.learning.table import Row

WIDTH, HEIGHT, MARGIN, LEGEND = 360, 260, 40, 190
COLORS = (
    *("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22"),
    *("#17becf", "#ff7f0e", "#000000"),
)


def svg(rows: Sequence[Row], labels: Mapping[str, str]) -> str:
    """A panel per environment: fraction of the reachable gain, deployed, over calls (log)."""
    environments = list(dict.fromkeys(row.environment for row in rows))
    learners = list(dict.fromkeys(row.learner for row in rows))
    color = {name: COLORS[at % len(COLORS)] for at, name in enumerate(learners)}
    width = len(environments) * WIDTH + LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>',
    ]
    for at, environment in enumerate(environments):
        mine = [row for row in rows if row.environment == environment]
        parts += _panel(at * WIDTH, environment, mine, color)
    for at, name in enumerate(learners):
        y = 20 + 15 * at
        x = len(environments) * WIDTH
        parts.append(f'<text x="{x}" y="{y}" fill="{color[name]}">{escape(labels[name])}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(left: int, name: str, rows: Sequence[Row], color: Mapping[str, str]) -> list[str]:
    last = max(row.calls_C[-1] for row in rows)
    parts = [f'<text x="{left + MARGIN}" y="15">{escape(name)}</text>']
    for fraction in (0.0, 0.5, 0.9, 1.0):
        y = _y(fraction)
        dash = ' stroke-dasharray="4"' if fraction == 0.9 else ""
        parts.append(
            f'<line x1="{left + MARGIN}" x2="{left + WIDTH - 10}" y1="{y}" y2="{y}" '
            f'stroke="#ccc"{dash}/><text x="{left + 12}" y="{y + 4}">{fraction:g}</text>'
        )
    for calls in (16, 64, 256, 1024, 4096):
        if calls <= last:
            x = left + _x(calls, last)
            parts.append(f'<text x="{x}" y="{HEIGHT - 12}" text-anchor="middle">{calls}</text>')
    for row in rows:
        points = " ".join(
            f"{left + _x(calls, last):.1f},{_y(max(value, -0.1)):.1f}"
            for calls, value in zip(row.calls_C, row.curve_C, strict=True)
            if calls >= 8
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color[row.learner]}" '
            'stroke-width="1.5"/>'
        )
    return parts


def _x(calls: float, last: float) -> float:
    share = math.log(max(calls, 8) / 8) / math.log(max(last, 16) / 8)
    return MARGIN + share * (WIDTH - MARGIN - 10)


def _y(fraction: float) -> float:
    return 25 + (1.0 - fraction) / 1.1 * (HEIGHT - 60)
