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
    counts = dict.fromkeys(found, 0)
    for word in found[:window]:
        counts[word] += 1
    distinct = total = sum(count > 0 for count in counts.values())
    for leaving, entering in zip(found, found[window:], strict=False):
        distinct += counts[entering] == 0
        counts[entering] += 1
        counts[leaving] -= 1
        distinct -= counts[leaving] == 0
        total += distinct
    runs = max(1, len(found) - window + 1)
    return total / (runs * window)
