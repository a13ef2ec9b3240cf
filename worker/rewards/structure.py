"""Structure: sentences that vary, connect and end, without saying things twice."""

import math
import re
from collections.abc import Sequence
from statistics import fmean

from worker.rewards.words import words

# Latin; Arabic, Urdu, Devanagari, Armenian, Ethiopic; a space follows.
_TERMINAL = ".!?…\u061f\u06d4\u0964\u0965\u0589\u1362"
# Chinese and Japanese: no space follows.
_TERMINAL_CJK = "\u3002\uff01\uff1f\uff61"
# Straight quotes, brackets, Markdown emphasis and code; curly quotes, CJK quotes and brackets.
_CLOSING = "\"')]}*_`\u201d\u2019\u00bb\u203a\u300d\u300f\uff09"
_ITEM = r"[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]"
_SENTENCE_END = re.compile(
    rf"[{_TERMINAL}][{re.escape(_CLOSING)}]?\s+|[{_TERMINAL_CJK}]|\n(?=[ \t]*\n|{_ITEM})"
)
_ITEM_LINE = re.compile(_ITEM)
# Shorter pieces are headings, abbreviations and fragments.
_SHORTEST_SENTENCE = 3
_ENOUGH_SENTENCES = 3
_ENOUGH_VARIATION = 0.3
_ENOUGH_CONNECTED = 1 / 3
_ENOUGH_BLOCKS = 3
_WEIGHTS = {"sentences": 0.35, "variation": 0.2, "connected": 0.15, "blocks": 0.1, "ending": 0.2}

_CONNECTIVES = frozenset(
    words(
        """
        accordingly additionally after also although as because before besides but consequently
        conversely despite example finally first furthermore hence however if instead lastly
        likewise meanwhile moreover nevertheless next otherwise overall second similarly since so
        still such then therefore third though thus ultimately unlike until when whenever whereas
        whereby which while yet
        """
    )
)


def structure(completion: str) -> float:
    """Score coherence and form.

    ::

        (1 - repetition) * ( 0.35 min(1, sentences / 3)                 of 3 words or more
                           + 0.20 min(1, std / mean of their lengths / 0.3)
                           + 0.15 min(1, share of them with a connective / (1/3))
                           + 0.10 min(1, (paragraphs + list items - 1) / 2)
                           + 0.20 (ends with terminal punctuation) )
        repetition = the larger of the share of repeated sentences and of repeated word trigrams

    Connectives are English; the rest holds for any script. In [0, 1]; no words: 0. Never raises.
    """
    pieces = [found for piece in _SENTENCE_END.split(completion) if (found := words(piece))]
    if not pieces:
        return 0.0
    sentences = [piece for piece in pieces if len(piece) >= _SHORTEST_SENTENCE]
    parts = {
        "sentences": len(sentences) / _ENOUGH_SENTENCES,
        "variation": _variation(sentences) / _ENOUGH_VARIATION,
        "connected": _connected(sentences) / _ENOUGH_CONNECTED,
        "blocks": (_blocks(completion) - 1) / (_ENOUGH_BLOCKS - 1),
        "ending": float(_ends(completion)),
    }
    form = sum(weight * min(1.0, parts[name]) for name, weight in _WEIGHTS.items())
    return min(1.0, form) * (1 - _repetition(pieces))


def _variation(sentences: Sequence[list[str]]) -> float:
    """Coefficient of variation of the sentences' lengths."""
    if not sentences:
        return 0.0
    lengths = [len(sentence) for sentence in sentences]
    mean = fmean(lengths)
    return math.sqrt(fmean((length - mean) ** 2 for length in lengths)) / mean


def _connected(sentences: Sequence[list[str]]) -> float:
    """Share of the sentences that hold a connective."""
    holding = sum(not _CONNECTIVES.isdisjoint(sentence) for sentence in sentences)
    return holding / len(sentences) if sentences else 0.0


def _blocks(text: str) -> int:
    """Number of paragraphs and list items, at least 1."""
    blocks, within = 0, False
    for line in text.splitlines():
        if _ITEM_LINE.match(line):
            blocks, within = blocks + 1, True
        elif line.strip():
            blocks, within = blocks + (not within), True
        else:
            within = False
    return max(1, blocks)


def _ends(text: str) -> bool:
    """Whether the last mark, quotes and brackets aside, ends a sentence."""
    return text.rstrip().rstrip(_CLOSING).endswith(tuple(_TERMINAL + _TERMINAL_CJK))


def _repetition(pieces: Sequence[list[str]]) -> float:
    """Share of what was already said: whole sentences or word trigrams, whichever is larger."""
    flat = [word for piece in pieces for word in piece]
    trigrams = max(1, len(flat) - 2)
    distinct = max(1, len(set(zip(flat, flat[1:], flat[2:], strict=False))))
    return 1 - min(len(set(map(tuple, pieces))) / len(pieces), distinct / trigrams)
