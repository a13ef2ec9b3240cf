"""Words for messages and prompts: lists in English, shortened values, did-you-mean."""

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxdict = _SHORT.maxlist = 3
_SHORT.maxlevel = 2


def listed(items: Sequence[str], last: str = "and") -> str:
    """The items as English lists them: "a", "a and b", "a, b and c"; "" if there are none."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def places(sources: Sequence[str], most: int) -> str:
    """Where records stand, in the file that is named beside it: "lines 3, 7, …"."""
    where = [source.rpartition(":")[2].strip() for source in sources[:most]]
    kind = "records" if where and where[0].startswith("record ") else "lines"
    numbers = ", ".join(place.removeprefix("record ") for place in where)
    kind = kind if len(sources) > 1 else kind[:-1]
    return f"{kind} {numbers}{', …' if len(sources) > most else ''}"


def short(value: Any) -> str:
    """``repr`` of a value of any size in about 60 characters, for messages."""
    return _SHORT.repr(value)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint such as " Did you mean 'x'?", or "" if no known word is near. Ignores case."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""
