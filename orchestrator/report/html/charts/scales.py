"""Numbers -> places on a chart, and the marks along its axes."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

Format = Callable[[float], str]


class Scale(NamedTuple):
    """A straight line from values [low, high] to places [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value, rounded to a tenth of a unit; values outside lie at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def span(values: Sequence[float], least: float = 1e-9) -> tuple[float, float]:
    """The smallest and largest value, apart even if all are equal."""
    low, high = min(values), max(values)
    room = max(high - low, abs(high) * 1e-6, least)
    return (low, high) if high - low >= room else (low - room / 2, high + room / 2)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between low and high: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / max(most, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def outward(low: float, high: float, most: int = 5) -> tuple[float, float]:
    """The round numbers just outside [low, high]."""
    marks = ticks(low, high, most)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def number(value: float) -> str:
    """A number as an axis says it."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    if size >= 1000:
        return f"{value:,.0f}"
    return (
        f"{value:.4f}".rstrip("0").rstrip(".") if size < 10 else f"{value:.1f}".removesuffix(".0")
    )


def dollars(value: float) -> str:
    """$0.0012, $0.12, $12."""
    if value == 0:
        return "$0"
    if abs(value) >= 1:
        return f"${value:,.2f}".removesuffix(".00")
    return "$" + f"{value:.6f}".rstrip("0")


def percent(value: float) -> str:
    """A share."""
    return f"{value * 100:.0f}%" if value >= 0.1 or value == 0 else f"{value * 100:.2g}%"


def seconds(value: float) -> str:
    """0.2 ms, 340 ms, 2.1 s, 3.5 min."""
    if value == 0:
        return "0"
    if value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 120 else f"{value / 60:.3g} min"
