"""Random numbers that belong to a request, not to its moment.

They follow from the stand-in's seed, the bytes of the body, and how often this body was let through
before. So answers, latencies and faults do not depend on who arrived first, and a run repeats.
"""

from hashlib import blake2b
from random import Random
from typing import NamedTuple

LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def digest(body: bytes) -> bytes:
    """Short name of a body."""
    return blake2b(body, digest_size=16).digest()


class Draws(NamedTuple):
    """The source of everything random about one request."""

    seed: int
    body: bytes
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
        name = b"%d|%b|%b|" % (self.seed, self.body, str(self.nth).encode())
        return blake2b(name + purpose.encode(), digest_size=size).digest()
