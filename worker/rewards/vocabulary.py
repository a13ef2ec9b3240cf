"""Vocabulary: how varied the words are, whatever the length of the text."""

from worker.rewards.words import words


def vocabulary(completion: str, window: int = 30) -> float:
    """Score word diversity by the moving-average type-token ratio (MATTR; Covington & McFall 2010).

    ::

        mean over every run of `window` consecutive words of  distinct words in it / window

    A plain type-token ratio falls as a text grows; this one does not. A text shorter than the
    window is one run whose missing words count as repeats, so a single word scores 1 / window.
    In [0, 1]; no words: 0. Raises ValueError unless window is a whole number >= 1.
    """
    if not isinstance(window, int) or window < 1:
        raise ValueError(f"window must be a whole number of words, at least 1, not {window!r}")
    found = words(completion)
    last_run = max(0, len(found) - window)
    total, seen = 0, dict.fromkeys(found, -1)
    for at, word in enumerate(found):
        # It is the first of its kind in the runs that begin after the last one like it.
        earliest = seen[word] + 1
        if earliest <= at - window:
            earliest = at - window + 1
        latest = at if at < last_run else last_run
        if latest >= earliest:
            total += latest - earliest + 1
        seen[word] = at
    return total / ((last_run + 1) * window)
