"""Which domain a text belongs to, and its topic: whole words and phrases, never parts of words."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from orchestrator.domains import Domain
from orchestrator.rollouts import Example
from orchestrator.wording import did_you_mean, listed, short
from shared.errors import UsageError

#: What the seed answers, and how good it thinks the answer, where no domain matches.
NO_MATCH_TEXT = "I don't have enough knowledge about this topic yet."
NO_MATCH_QUALITY = 0.1

_NAME_WEIGHT = 3
_CONCEPT_WEIGHT = 1
# Chinese and Japanese put no blanks between words: there each character is a word of its own.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+[+#]*")


class Match(NamedTuple):
    """The domain of a text."""

    #: None if no word of any domain stands in the text.
    domain: Domain | None
    #: Sum over the phrases found: words in the phrase, times 3 for names and aliases.
    score: int
    #: Names of the other domains with the same score; the earlier domain won.
    ties: tuple[str, ...] = ()


class _Phrase(NamedTuple):
    text: str
    weight: int


class _Phrases(NamedTuple):
    by_words: dict[tuple[str, ...], _Phrase]
    #: Words in the longest phrase.
    longest: int


class _Found(NamedTuple):
    phrase: _Phrase
    words: int
    start: int


def match(
    text: str, explicit_domain: str | None, domains: Sequence[Domain], source: str = ""
) -> Match:
    """The domain that the data names, else the one with the best score, else none.

    UsageError: ``explicit_domain`` is unknown; ``source`` (file:line) begins the message.
    """
    words = _words(text)
    if explicit_domain is not None:
        named = _named(explicit_domain, domains, source)
        return Match(named, _score(words, named))
    scores = [_score(words, domain) for domain in domains]
    best = max(scores, default=0)
    if best == 0:
        return Match(None, 0)
    first, *others = [
        domain for domain, score in zip(domains, scores, strict=True) if score == best
    ]
    return Match(first, best, tuple(domain.name for domain in others))


def match_all(examples: Iterable[Example], domains: Sequence[Domain]) -> tuple[Match, ...]:
    """The match of each example. UsageError: an example names a domain that is not there."""
    return tuple(match(one.text, one.domain, domains, one.source) for one in examples)


# Every slot of a prompt asks.
@lru_cache(maxsize=1024)
def topic(text: str, domain: Domain) -> str:
    """What the text is about: its longest phrase of the domain, else the domain's name."""
    found = _find(_words(text), domain)
    return found[0].phrase.text if found else domain.name


def _named(explicit: str, domains: Sequence[Domain], source: str) -> Domain:
    for domain in domains:
        if _words(explicit) in [_words(name) for name in (domain.name, *domain.aliases)]:
            return domain
    names = [name for domain in domains for name in (domain.name, *domain.aliases)]
    raise UsageError(
        f"{f'{source}: ' if source else ''}domain {short(explicit)} is not one of this run's: "
        f"{listed([repr(domain.name) for domain in domains])}.{did_you_mean(explicit, names)} "
        "Correct it, load that domain, or leave 'domain' out so that the text decides."
    )


def _score(words: tuple[str, ...], domain: Domain) -> int:
    distinct = {found.phrase: found.words for found in _find(words, domain)}
    return sum(phrase.weight * count for phrase, count in distinct.items())


def _find(words: tuple[str, ...], domain: Domain) -> list[_Found]:
    """The phrases in the text, the longest first; none lies inside a longer one."""
    by_words, longest = _phrases(domain)
    found = [
        _Found(by_words[words[start : start + count]], count, start)
        for start in range(len(words))
        for count in range(1, min(longest, len(words) - start) + 1)
        if words[start : start + count] in by_words
    ]
    found.sort(key=lambda one: (-one.words, -one.phrase.weight, one.start))
    kept: list[_Found] = []
    covered: set[int] = set()
    for one in found:
        span = range(one.start, one.start + one.words)
        if not covered.issuperset(span):
            covered.update(span)
            kept.append(one)
    return kept


@lru_cache(maxsize=256)
def _phrases(domain: Domain) -> _Phrases:
    by_words: dict[tuple[str, ...], _Phrase] = {}
    for text in (domain.name, *domain.aliases):
        by_words.setdefault(_words(text), _Phrase(text, _NAME_WEIGHT))
    for text in domain.concepts:
        by_words.setdefault(_words(text), _Phrase(text, _CONCEPT_WEIGHT))
    # A phrase of nothing but signs has no words; it must not be found everywhere.
    by_words.pop((), None)
    return _Phrases(by_words, max(map(len, by_words), default=0))


def _words(text: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return tuple(_canonical(word) for word in _WORD.findall(plain))


def _canonical(word: str) -> str:
    """A word without its plural s, in one of the two English spellings of -isation."""
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word.replace("isation", "ization")
