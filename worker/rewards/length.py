"""Length: as long as asked for."""

import math

from worker.rewards.words import words

# Half or double the nearest edge of the window scores 0.38.
_SOFTNESS = 0.5


def length(completion: str, target_words: float = 60, tolerance: float = 0.2) -> float:
    """Score the number of words n: 1 in a window around the target, falling smoothly outside.

    ::

        low, high = target_words * (1 - tolerance), target_words * (1 + tolerance)
        0                                     if n = 0
        1                                     if low <= n <= high
        exp(-(ln(n / edge) / 0.5)^2 / 2)      otherwise; edge: the nearer of low and high

    Too short and too long lose alike: half of ``low`` scores what double of ``high`` does.
    In [0, 1]. Raises ValueError unless target_words > 0 and 0 <= tolerance < 1.
    """
    if not 0 < target_words < math.inf:
        raise ValueError(f"target_words must be a positive number, not {target_words!r}")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be at least 0 and below 1, not {tolerance!r}")
    n = len(words(completion))
    if n == 0:
        return 0.0
    edge = min(max(n, target_words * (1 - tolerance)), target_words * (1 + tolerance))
    return math.exp(-((math.log(n / edge) / _SOFTNESS) ** 2) / 2)
