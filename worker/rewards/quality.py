"""Quality: what the generator says of itself, and how much the text is about its subject.

The policy's own weights are no input: a reward that contains them can be raised without changing
a word of any completion.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from worker.rewards.words import fold, is_content, words

_REFERENCE_WEIGHT, _TERMS_WEIGHT, _PROMPT_WEIGHT = 0.5, 0.3, 0.2
# A short text that names five of a domain's words is about the domain.
_ENOUGH_TERMS = 5
_NATURAL_DENSITY = 0.4

# What a prompt asks to be done, as opposed to what it is about.
_INSTRUCTIONS = frozenset(
    words(
        """
        answer briefly clearly compare define describe detail discuss elaborate example explain
        explanation generate give help illustrate introduce introduction list mean outline overview
        please provide question quick short show simple simply summarize summary tell term text
        understand use word work write
        """
    )
)


class _Subject(NamedTuple):
    """What a text is to be about: folded content words, and the terms as whole phrases."""

    reference: frozenset[str]
    prompt: frozenset[str]
    phrases: frozenset[tuple[str, ...]]
    #: All of their content words.
    keywords: frozenset[str]
    #: Share of keywords that is natural for a text about it.
    natural: float


class _Part(NamedTuple):
    """One sign of relevance: how strongly it counts and how far the text meets it."""

    weight: float
    score: float


def quality(
    completion: str,
    prompt: str = "",
    reference: str | Sequence[str] | None = None,
    terms: tuple[str, ...] = (),
    quality: float | None = None,
) -> float:
    """Score by the mean of the generator's self-report, if there is one, and domain relevance.

    ::

        relevance = density_factor * weighted mean of the parts that exist
          0.5 reference   damp(share of the reference's content words found)
          0.3 terms       damp(domain terms found as whole phrases / min(5, terms))
          0.2 prompt      share of the prompt's content words found
        damp(x) = 1 - (1 - min(1, x))^2
        density_factor  = min(1, (1 - d) / (1 - max(0.4, d_reference)))

    d is the share of the text's words that are words of the prompt, the terms or the reference: a
    bare list of keywords has d = 1 and relevance 0, a copy of the reference is not punished. Words
    are compared without stopwords and plural endings (English). In [0, 1]; no words: 0; nothing to
    judge by: 0.5. Of several references, of which any is right, the one that gives the most counts.
    A self-report outside [0, 1] is clamped, a non-finite one left out. Never raises.
    """
    found = _folded(completion)
    if not found:
        return 0.0
    scores: list[float] = []
    if quality is not None and math.isfinite(quality):
        scores.append(min(1.0, max(0.0, quality)))
    references = [reference] if isinstance(reference, str) else [*(reference or ())] or [""]
    known = [_relevance(found, prompt, each, terms) for each in references]
    if relevant := [each for each in known if each is not None]:
        scores.append(max(relevant))
    return sum(scores) / len(scores) if scores else 0.5


def _relevance(
    found: list[str], prompt: str, reference: str, terms: tuple[str, ...]
) -> float | None:
    """How much the words found are about the subject; None if nothing names the subject."""
    known = set(found)
    subject = _subject(prompt, reference, tuple(terms))
    parts: list[_Part] = []
    if subject.reference:
        parts.append(_Part(_REFERENCE_WEIGHT, _damp(_share(subject.reference, known))))
    if subject.phrases:
        coverage = _named(subject.phrases, found) / min(_ENOUGH_TERMS, len(subject.phrases))
        parts.append(_Part(_TERMS_WEIGHT, _damp(coverage)))
    if subject.prompt:
        parts.append(_Part(_PROMPT_WEIGHT, _share(subject.prompt, known)))
    if not parts:
        return None
    excess = _density(found, subject.keywords) - subject.natural
    factor = 1 - excess / (1 - subject.natural) if excess > 0 else 1.0
    mean = sum(part.weight * part.score for part in parts) / sum(part.weight for part in parts)
    return factor * min(1.0, mean)


# The same for every completion of a group.
@lru_cache(maxsize=64)
def _subject(prompt: str, reference: str, terms: tuple[str, ...]) -> _Subject:
    reference_words = _folded(reference)
    of_reference = frozenset(filter(is_content, reference_words))
    of_prompt = frozenset(filter(is_content, _folded(prompt))) - _INSTRUCTIONS
    phrases = frozenset(tuple(phrase) for term in terms if (phrase := _folded(term)))
    of_terms = {word for phrase in phrases for word in phrase if is_content(word)}
    keywords = of_reference | of_prompt | of_terms
    natural = max(_NATURAL_DENSITY, _density(reference_words, keywords))
    return _Subject(of_reference, of_prompt, phrases, keywords, natural)


def _folded(text: str) -> list[str]:
    return list(map(fold, words(text)))


def _damp(share: float) -> float:
    """Every further word counts less: a good paraphrase need not say everything."""
    return 1 - (1 - min(1.0, share)) ** 2


def _share(wanted: frozenset[str], known: set[str]) -> float:
    return len(wanted & known) / len(wanted)


def _density(found: Sequence[str], keywords: frozenset[str]) -> float:
    return sum(map(keywords.__contains__, found)) / len(found) if found else 0.0


def _named(phrases: frozenset[tuple[str, ...]], found: list[str]) -> int:
    """Number of the phrases whose words stand side by side in the text."""
    known = set(found)
    text = f" {' '.join(found)} "
    return sum(known.issuperset(phrase) and f" {' '.join(phrase)} " in text for phrase in phrases)
