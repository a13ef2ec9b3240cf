"""Random numbers that belong to a request, not to its moment.

They follow from the stand-in's seed, what the body asks, and how often this body was let through
before. So answers, latencies and faults do not depend on which request arrived first, and a run
repeats, although each run has a name of its own.
"""

import re
from hashlib import blake2b
from random import Random
from typing import NamedTuple

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


#: The name of the run, which stands in the name of each of its requests too.
_RUN = re.compile(rb'"trace_id":"((?:[^"\\]|\\.)+)"')


def digest(body: bytes) -> bytes:
    """Short name of a body."""
    return blake2b(body, digest_size=16).digest()


def question(body: bytes) -> bytes:
    """Short name of what a body asks, whatever the run that asks it is called."""
    run = _RUN.search(body)
    return digest(body.replace(run[1], b"") if run else body)


class Draws(NamedTuple):
    """The source of everything random about one request."""

    seed: int
    #: Short name of what is asked (``question``).
    asked: bytes
    #: How often the same body was let through before; None: every time the same.
    nth: int | None

    def source(self, purpose: str) -> Random:
        """A generator of its own for each purpose, so that one does not shift another."""
        return Random(int.from_bytes(self._bytes(purpose, 8), "big"))

    def uniform(self, purpose: str) -> float:
        """A number in [0, 1)."""
        return int.from_bytes(self._bytes(purpose, 6), "big") / 2**48

    def letters(self, purpose: str, length: int) -> str:
        """A name in letters and digits."""
        drawn = self._bytes(purpose, length)
        return "".join(LETTERS[byte % len(LETTERS)] for byte in drawn)

    def _bytes(self, purpose: str, size: int) -> bytes:
        name = b"%d|%b|%b|" % (self.seed, self.asked, str(self.nth).encode())
        return blake2b(name + purpose.encode(), digest_size=size).digest()
