"""What counts as a word, for every reward that counts or compares words."""

import re
import unicodedata
from functools import lru_cache
from itertools import chain

from shared.scripts import MARKS, SPACELESS

# Scripts written without spaces: every letter is a word.
_LETTER = rf"[^\W_{SPACELESS}]"
# Possessive throughout: linear time on any input.
_WORD = re.compile(
    rf"(?![\W_])[{SPACELESS}][{MARKS}]*+"
    rf"|{_LETTER}++(?:(?:[{MARKS}]++|'(?={_LETTER})){_LETTER}*+)*+"
)
# The same where there are no other letters and no marks, in a tenth of the time: what is neither
# letter, digit nor apostrophe becomes a space, and where an apostrophe stands is looked at.
_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)} | {
    ord("'"): "'"
}
_ASCII_WORD = re.compile("[a-z0-9]+(?:'[a-z0-9]+)*")
# Normalizing a long run of combining marks takes quadratic time.
_LONGEST_NORMALIZED = 100


def words(text: str) -> list[str]:
    """The words of a text in order, casefolded, as Unicode sees letters and digits.

    Hyphens and underscores divide, apostrophes inside a word do not; in scripts written without
    spaces every letter is a word. Never raises; linear in the length of the text.
    """
    return list(_words(text))


# Every part of a reward asks for the words of the same completion.
@lru_cache(maxsize=64)
def _words(text: str) -> tuple[str, ...]:
    if text.isascii():
        pieces = text.translate(_ASCII).split()
        if "'" not in text:
            return tuple(pieces)
        each = ((piece,) if piece.isalnum() else _ASCII_WORD.findall(piece) for piece in pieces)
        return tuple(chain.from_iterable(each))
    found = _WORD.findall(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold())
    return tuple(
        unicodedata.normalize("NFC", word) if len(word) <= _LONGEST_NORMALIZED else word
        for word in found
    )


# Texts about one subject share most of their words.
@lru_cache(maxsize=4096)
def fold(word: str) -> str:
    """The word without a possessive or a regular English plural ending: "qubits" -> "qubit"."""
    word = word.removesuffix("'s")
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    return word[:-1]


_STOPWORDS = frozenset(
    fold(word)
    for word in words(
        """
        a about above after again against all also although am an and any are as at be because been
        before being below between both but by can cannot could did do does doing don't down during
        each either else etc few for from further had has have having he her here hers him his how
        however i if in into is it its itself just let like many may me might more most much must
        my neither no nor not of off on once one only or other our out over own per same she should
        since so some such than that the their them then there therefore these they this those
        through thus to too under until up upon us very via was we were what when where whether
        which while who whom whose why will with within without would yet you your
        """
    )
)


def is_content(word: str) -> bool:
    """Whether a folded word carries a subject: it is no common English function word."""
    return word not in _STOPWORDS
