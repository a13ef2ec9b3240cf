"""The response cache: the same bytes with the same key get the same answer, free of charge."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.standin.completions import Completion

DEFAULT_TTL_S = 300
MAX_TTL_S = 86_400


class Kept(NamedTuple):
    """An answer in the cache."""

    completion: Completion
    at: float
    ttl_s: int

    def ended(self, now: float) -> bool:
        """Whether its lifetime is over."""
        return now >= self.at + self.ttl_s


class Wish(NamedTuple):
    """What the headers of a request ask of the cache."""

    use: bool
    clear: bool
    ttl_s: int


def wish(headers: Mapping[str, str]) -> Wish:
    """Read the headers; a lifetime that makes no sense is the default."""
    given = headers.get("x-openrouter-cache-ttl", "")
    seconds = int(given[:9]) if given.isascii() and given.isdigit() else DEFAULT_TTL_S
    return Wish(
        use=headers.get("x-openrouter-cache", "").lower() == "true",
        clear=headers.get("x-openrouter-cache-clear", "").lower() == "true",
        ttl_s=min(max(seconds, 1), MAX_TTL_S),
    )


@dataclass(slots=True)
class Cache:
    """Answers by key and body."""

    kept: dict[tuple[str, bytes], Kept] = field(default_factory=dict)

    def find(self, key: str, body: bytes, wished: Wish) -> Kept | None:
        """The answer for these bytes, if it is wanted and still good."""
        if wished.clear:
            self.kept.pop((key, body), None)
        found = self.kept.get((key, body)) if wished.use else None
        if found is not None and found.ended(time.time()):
            del self.kept[key, body]
            return None
        return found

    def keep(self, key: str, body: bytes, wished: Wish, completion: Completion) -> None:
        """Remember an answer, if the request asked for it."""
        if not wished.use:
            return
        now = time.time()
        # The oldest make room for the new ones, so that a long run does not fill the memory.
        while self.kept and self.kept[oldest := next(iter(self.kept))].ended(now):
            del self.kept[oldest]
        self.kept[key, body] = Kept(completion, now, wished.ttl_s)


def status_headers(wished: Wish, hit: Kept | None) -> tuple[tuple[str, str], ...]:
    """The headers that tell what the cache did."""
    if not wished.use:
        return ()
    if hit is None:
        return ("X-OpenRouter-Cache-Status", "MISS"), ("X-OpenRouter-Cache-TTL", str(wished.ttl_s))
    return (
        ("X-OpenRouter-Cache-Status", "HIT"),
        ("X-OpenRouter-Cache-Age", str(int(time.time() - hit.at))),
        ("X-OpenRouter-Cache-TTL", str(hit.ttl_s)),
        ("X-OpenRouter-Cache-Source-Id", hit.completion.id),
    )
