"""A judge of two texts, with the hidden taste of the one that scores, and a liking for a place."""

import json
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from orchestrator.standin.judging import merit
from orchestrator.standin.settings import Settings


class Pair(NamedTuple):
    """Two texts in the places where the judge was shown them."""

    first: str
    second: str


def pair(sent: Sequence[str]) -> Pair | None:
    """The two texts in the first user message, if that is what was sent: a JSON object with
    ``first`` and ``second``."""
    try:
        material = json.loads(sent[0]) if sent else None
    except ValueError:
        return None
    if not isinstance(material, dict):
        return None
    first, second = material.get("first"), material.get("second")
    return Pair(first, second) if isinstance(first, str) and isinstance(second, str) else None


def verdict(shown: Pair, settings: Settings, source: Random) -> dict[str, str]:
    """Which text this judge likes better: by its taste, its noise, and its liking for the first."""
    merits = [merit(text, settings.preference, settings.noise, source) for text in shown]
    gap = merits[0] - merits[1] + settings.position_bias
    if abs(gap) < settings.tie_margin:
        return {"reason": "Both say much the same.", "verdict": "equal"}
    better = "first" if gap > 0 else "second"
    return {"reason": f"The {better} one rests on the better ideas.", "verdict": better}
