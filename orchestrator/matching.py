"""Which domain a text belongs to, and its topic: the words of the text decide.

A single domain needs no word: every text is its own (``always``). Of several, a domain has the text
in which its name, an alias or a concept stands as whole words:

- where words are divided by spaces, whole words, whatever their case and English plural;
- in scripts without spaces (Thai, Chinese, Japanese, ...) any run of characters with their marks;
- in Hangul the beginning of a word, since particles and endings follow without a space;
- in Arabic and Hebrew what small words written in front (and, in, to, the) leave of a word.

A text in which no domain stands so is looked through once more for words that only begin with a
term (``_begins``): endings and compounds, as in Turkish or German. So a whole word always counts
before the beginning of one.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from orchestrator.domains import Domain
from orchestrator.rollouts import Example
from orchestrator.wording import did_you_mean, listed, short
from shared.errors import UsageError
from shared.scripts import ARABIC, HANGUL, HEBREW, MARKS, SPACELESS

#: How a text that names no domain finds its own; None: always where there is one domain.
Rule = Literal["words", "always"] | None

#: What the seed answers, and how good it thinks the answer, where no domain matches.
NO_MATCH_TEXT = "I don't have enough knowledge about this topic yet."
NO_MATCH_QUALITY = 0.1

#: Share of prompts that match no domain beyond which it is said aloud.
MANY = 0.1

_NAME_WEIGHT = 3
_CONCEPT_WEIGHT = 1
_LETTER = rf"[^\W{SPACELESS}{HANGUL}]"
# Possessive: linear time on any input. A script without spaces has a word per character.
_WORD = re.compile(
    rf"(?![\W_])[{SPACELESS}][{MARKS}]*+|[{HANGUL}]++|{_LETTER}(?:{_LETTER}|[{MARKS}])*+[+#]*+"
)
# What shows nothing, and so divides nothing: soft hyphens, joiners, variants of a sign.
_INVISIBLE = re.compile(rf"[\u00ad\u200d\u2060\ufe00-\ufe0f\ufeff]|(?<![{ARABIC}])\u200c")
_IS_HANGUL, _IS_ABJAD = re.compile(f"[{HANGUL}]"), re.compile(f"[{ARABIC}{HEBREW}]")
# Particles that may follow a noun of one syllable, which begins too many other words.
_PARTICLES = frozenset([*"은는이가을를의에도만와과로란", "에서", "으로", "에게", "이란"])
# And, so, in, as, to, the: written in front of a word, one after the other.
_PROCLITICS = re.compile("[وف]?(?:[بك]?(?:ال)?|ل|لل)|ו?(?:כש|ש)?[בכלמ]?ה?")
# Short vowels, which most texts leave out, and the line that only lengthens a word.
_VOWELS = re.compile("[\u0591-\u05c7\u064b-\u065f\u0670\u0640]")
# Letters that are written with and without their marks.
_ABJAD_LETTERS = str.maketrans("أإآٱىة", "اااايه")
_ARTICLE = "ال"
#: Letters of the shortest word that others may be made of, of one that any may, and the most that
#: may follow a shorter one: "art" is not in "artificial", nor "class" in "classical".
_SHORTEST_STEM, _LONG_STEM, _LONGEST_ENDING = 5, 8, 3


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
    words: tuple[str, ...]


class _Found(NamedTuple):
    phrase: _Phrase
    start: int


def match(
    text: str,
    explicit_domain: str | None,
    domains: Sequence[Domain],
    source: str = "",
    rule: Rule = None,
) -> Match:
    """The domain that the data names, else the only one, else the one with the best score.

    UsageError: ``explicit_domain`` is unknown; ``source`` (file:line) begins the message.
    """
    words = _words(text)
    if explicit_domain is not None:
        named = _named(explicit_domain, domains, source)
        return Match(named, _score(words, named))
    if rule == "always" or (rule is None and len(domains) == 1):
        return Match(domains[0], _score(words, domains[0]))
    for beginnings in (False, True):
        scores = [_score(words, domain, beginnings) for domain in domains]
        best = max(scores, default=0)
        if best:
            pairs = zip(domains, scores, strict=True)
            first, *others = [domain for domain, score in pairs if score == best]
            return Match(first, best, tuple(domain.name for domain in others))
    return Match(None, 0)


def match_all(
    examples: Iterable[Example], domains: Sequence[Domain], rule: Rule = None
) -> tuple[Match, ...]:
    """The match of each example. UsageError: an example names a domain that is not there."""
    return tuple(match(one.text, one.domain, domains, one.source, rule) for one in examples)


def says(text: str, domain: Domain) -> bool:
    """Whether a phrase of the domain stands in the text as it is, not as a word's beginning."""
    return bool(_find(_words(text), domain))


def check_rule(rule: Rule, domains: Sequence[Domain]) -> None:
    """UsageError: all texts are to belong to one domain, and there are several."""
    if rule == "always" and len(domains) != 1:
        raise UsageError(
            f'match = "always" needs one domain that every prompt belongs to; there are'
            f" {len(domains)}: {listed([domain.name for domain in domains])}. Name one with"
            " --domain, or give each prompt a 'domain'."
        )


def left_out(count: int, total: int, rule: Rule) -> str | None:
    """What to do about prompts that match no domain; None where they are few."""
    if count <= MANY * total:
        return None
    remedy = "give them a 'domain' field, or the domain aliases that they say"
    if rule == "words":
        remedy += '; match = "always" takes every prompt where there is a single domain'
    return f"{count} of {total} prompts ({count / total:.0%}) match no domain: {remedy}"


# Every slot of a prompt asks.
@lru_cache(maxsize=1024)
def topic(text: str, domain: Domain) -> str:
    """What the text is about: its longest phrase of the domain, else the domain's name."""
    words = _words(text)
    found = _find(words, domain) or _find(words, domain, beginnings=True)
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


def _score(words: tuple[str, ...], domain: Domain, beginnings: bool = False) -> int:
    distinct = {found.phrase for found in _find(words, domain, beginnings)}
    return sum(phrase.weight * len(phrase.words) for phrase in distinct)


def _find(words: tuple[str, ...], domain: Domain, beginnings: bool = False) -> list[_Found]:
    """The phrases in the text, the longest first; none lies inside a longer one."""
    phrases, same = _phrases(domain), _begins if beginnings else _is
    found = [
        _Found(phrase, start)
        for start, word in enumerate(words)
        for phrase in phrases.get(_first(word), ())
        if start + len(phrase.words) <= len(words)
        and all(same(words[start + at], term) for at, term in enumerate(phrase.words))
    ]
    found.sort(key=_rank)
    kept: list[_Found] = []
    covered: set[int] = set()
    for one in found:
        span = range(one.start, one.start + len(one.phrase.words))
        if not covered.issuperset(span):
            covered.update(span)
            kept.append(one)
    return kept


def _rank(one: _Found) -> tuple[int, int, int, int]:
    words = one.phrase.words
    return -len(words), -one.phrase.weight, one.start, -sum(map(len, words))


@lru_cache(maxsize=256)
def _phrases(domain: Domain) -> dict[str, list[_Phrase]]:
    """The phrases by what the words of a text may begin with where they stand."""
    weighted = [(text, _NAME_WEIGHT) for text in (domain.name, *domain.aliases)]
    weighted += [(text, _CONCEPT_WEIGHT) for text in domain.concepts]
    by_words: dict[tuple[str, ...], _Phrase] = {}
    for text, weight in weighted:
        words = tuple(map(_without_article, _words(text)))
        # A phrase of nothing but signs has no words; it must not be found everywhere.
        if words:
            by_words.setdefault(words, _Phrase(text, weight, words))
    by_first: dict[str, list[_Phrase]] = {}
    for words, phrase in by_words.items():
        by_first.setdefault(_first(words[0]), []).append(phrase)
    return by_first


def _first(word: str) -> str:
    """The letter under which a word is looked for; one for all words that others may precede."""
    return _ARTICLE if _IS_ABJAD.match(word) else word[0]


def _is(said: str, term: str) -> bool:
    """Whether a word of a text is the term, but for what its script writes on to words."""
    if said == term:
        return True
    if _IS_HANGUL.match(term) and said.startswith(term):
        return len(term) > 1 or said[1:] in _PARTICLES
    if _IS_ABJAD.match(term) and len(term) > 2 and said.endswith(term):
        return _PROCLITICS.fullmatch(said, 0, len(said) - len(term)) is not None
    return False


def _begins(said: str, term: str) -> bool:
    """Whether a word of a text is the term, or is made of it by an ending or another word."""
    more = len(said) - len(term)
    made = len(term) >= _SHORTEST_STEM and said.startswith(term)
    return (made and (len(term) >= _LONG_STEM or more <= _LONGEST_ENDING)) or _is(said, term)


def _words(text: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    # Of Turkish, whose small letters are not those of casefold.
    plain = plain.replace("i\u0307", "i").replace("ı", "i")
    return tuple(_canonical(word) for word in _WORD.findall(plain))


def _canonical(word: str) -> str:
    """A word without its plural s, in one of the two English spellings of -isation."""
    if _IS_ABJAD.match(word):
        return _VOWELS.sub("", word).translate(_ABJAD_LETTERS)
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    return word.replace("isation", "ization")


def _without_article(word: str) -> str:
    shorter = word.removeprefix(_ARTICLE)
    return shorter if len(shorter) > 2 else word
