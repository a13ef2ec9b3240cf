"""How long an answer takes."""

from math import exp

from orchestrator.standin.draws import Draws
from orchestrator.standin.settings import Settings


def seconds(settings: Settings, draws: Draws) -> float:
    """The time to an answer: fixed, or lognormal around the median."""
    if not settings.latency_ms or not settings.sigma:
        return settings.latency_ms / 1000
    deviation = draws.source("latency").gauss(0.0, settings.sigma)
    return settings.latency_ms / 1000 * exp(deviation)
