"""How good a text is, in the eyes of a judge with a hidden taste."""

import math
import re
from collections.abc import Mapping
from random import Random

#: The part of a judge's prompt that is to be judged, when tags mark it.
TAGGED = re.compile(
    r"<(?P<tag>[\w-]*(?:answer|completion|candidate|explanation|output|response|text)[\w-]*)[^>]*>"
    r"(?P<text>.*?)</(?P=tag)>",
    re.DOTALL | re.IGNORECASE,
)
WORD = re.compile(r"\w+")
#: A text of so many words is neither too short nor too long.
GOOD_WORDS = 90


def judged_text(messages: str) -> str:
    """What a judge is to judge: the last part in fitting tags, or all it was sent."""
    found = list(TAGGED.finditer(messages))
    return found[-1]["text"] if found else messages


def merit(text: str, preference: Mapping[str, float], noise: float, source: Random) -> float:
    """A score in [0, 1]: favoured words, then length and variety, then noise."""
    folded = text.casefold()
    words = WORD.findall(folded)
    if not words:
        return 0.0
    taste = sum(weight for word, weight in preference.items() if word.casefold() in folded)
    length = math.exp(-(math.log(len(words) / GOOD_WORDS) ** 2))
    variety = min(1.0, 1.5 * len(set(words)) / len(words))
    plain = 0.3 + 0.2 * length + 0.1 * variety
    return min(1.0, max(0.0, plain + 0.4 * math.tanh(taste) + source.gauss(0.0, noise)))
