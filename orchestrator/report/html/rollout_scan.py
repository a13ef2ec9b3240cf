"""``rollouts.jsonl`` in one pass that keeps numbers, and a second look at the rows worth showing.

A million rollouts are some gigabytes: per row only its reward, its seconds and where it begins
stay in memory (17 bytes); the rows that are shown are read again.
"""

import contextlib
import itertools
import math
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from orchestrator.intervals import t_interval
from orchestrator.report.html.facts import Failed, Latency, Level, Rollouts, Shown
from orchestrator.report.html.jsonl_rows import offset_rows, rows_at
from orchestrator.report.html.plain_text import Text, line
from orchestrator.report.html.sent_messages import Sent
from orchestrator.report.html.shown_rollout import shown
from orchestrator.rollouts import FloatArray

#: Best, median and worst rollouts that are shown, in training and held out, and failed ones.
TRAINED, HELD_OUT, FAILED = 12, 4, 8
#: Of one prompt among them; rows that are looked at to find so many.
PER_PROMPT = 2
LOOKED_AT = 200
#: Points of a curve: more than a screen can show apart.
POINTS = 200
BINS_PER_DECADE = 8
#: Distinct models, kinds and reasons that are counted by name: an endpoint may invent them.
NAMES = 200
#: What comes of a row that no run wrote.
BROKEN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
#: Characters of such a name.
NAME = 80

Value = TypeVar("Value")


class _Sums(NamedTuple):
    """Of the groups' mean rewards."""

    groups: int = 0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.groups + other.groups, self.total + other.total, self.squares + other.squares
        )


class _Rewarded:
    """Rewards and where their rows begin."""

    def __init__(self) -> None:
        self.rewards = array("d")
        self.offsets = array("Q")

    def add(self, reward: float, offset: int) -> None:
        self.rewards.append(reward)
        self.offsets.append(offset)


class _Scan:
    """What the first pass has seen so far."""

    def __init__(self) -> None:
        self.trained, self.final = _Rewarded(), _Rewarded()
        self.counts = Counter[str]()
        self.seconds = array("d")
        self.failures = Counter[tuple[str, str]]()
        self.messages: dict[str, str] = {}
        self.failed: deque[tuple[int, bool]] = deque(maxlen=FAILED)
        self.answered_by = Counter[tuple[str, str]]()
        self.finish_reasons = Counter[str]()
        self.tokens = [0, 0]
        self.by_update: dict[int, _Sums] = {}
        self._group: tuple[Any, ...] = ()
        self._rewards: list[float] = []

    def see(self, row: Mapping[str, Any], offset: int) -> None:
        purpose = "train" if row["purpose"] == "train" else "eval"
        reward = _reward(row)
        self._see_group(row, reward)
        self.counts[purpose] += 1
        if reward is None:
            self.counts["without_reward"] += 1
        elif purpose == "train":
            self.trained.add(reward, offset)
        elif row.get("kind") == "final":
            self.final.add(reward, offset)
        if completion := row["completion"]:
            self._see_completion(completion)
        if failure := row["failure"]:
            kind = _counted(self.failures, (line(failure["kind"], 40), purpose))
            self.messages.setdefault(kind[0], line(failure["message"], 160))
            self.failed.append((offset, purpose == "train"))

    def _see_completion(self, completion: Mapping[str, Any]) -> None:
        self.seconds.append(completion["seconds"])
        who = _name(completion["model"]), _name(completion["provider"] or "")
        _counted(self.answered_by, who)
        _counted(self.finish_reasons, _name(completion["finish_reason"] or "none"))
        self.tokens[0] += completion["prompt_tokens"] or 0
        self.tokens[1] += completion["completion_tokens"] or 0

    def _see_group(self, row: Mapping[str, Any], reward: float | None) -> None:
        """A group's rows stand together. Raises TypeError for an update that is no number."""
        group = (row.get("update"), row["step"], row["group"])
        if not isinstance(group[0], int | None):
            raise TypeError(group[0])
        if group != self._group:
            self.end_group()
            self._group = group
        if reward is not None:
            self._rewards.append(reward)

    def end_group(self) -> None:
        """Count the group whose rows have ended."""
        if self._rewards and self._group[0] is not None:
            mean = sum(self._rewards) / len(self._rewards)
            before = self.by_update.get(self._group[0], _Sums())
            self.by_update[self._group[0]] = before.plus(_Sums(1, mean, mean * mean))
        self._rewards = []


def scan(path: Path, costs: Mapping[int, float], sent: Sent = lambda row: ()) -> Rollouts:
    """Everything that a report says of the rollouts; of none if there is no file.

    ``sent`` finds the messages of a row, ``costs`` is step -> USD spent by then. Broken lines, and
    rows of another shape, are left out.
    """
    found = _Scan()
    for offset, row in offset_rows(path):
        with contextlib.suppress(*BROKEN):
            found.see(row, offset)
    found.end_group()
    return Rollouts(
        trained=found.counts["train"],
        held_out=found.counts["eval"],
        without_reward=found.counts["without_reward"],
        levels=_levels(found.by_update, costs),
        latency=_latency(np.frombuffer(found.seconds, dtype=np.float64)),
        failures=_failures(found),
        answered_by=tuple((*who, count) for who, count in found.answered_by.most_common(20)),
        finish_reasons=tuple(found.finish_reasons.most_common(20)),
        tokens=(found.tokens[0], found.tokens[1]),
        shown=tuple(_shown(path, found, sent)),
    )


def _reward(row: Mapping[str, Any]) -> float | None:
    """Raises TypeError or ValueError for what is no number."""
    if row["reward"] is None:
        return None
    if not math.isfinite(row["reward"]):
        raise ValueError(row["reward"])
    return float(row["reward"])


def _name(value: str) -> str:
    return _shown_name(value[: NAME + 1])


@lru_cache(1024)
def _shown_name(value: str) -> str:
    return line(value, NAME)


def _counted(counter: Counter[Any], name: Any) -> Any:
    """Count ``name``, or "others" once there are too many names; returns what was counted."""
    if name not in counter and len(counter) >= NAMES:
        name = "others" if isinstance(name, str) else ("others", name[1])
    counter[name] += 1
    return name


def _levels(by_update: Mapping[int, _Sums], costs: Mapping[int, float]) -> tuple[Level, ...]:
    """Mean and Student's interval over the groups, neighbouring updates taken together."""
    levels = []
    for updates in runs_of(sorted(by_update), POINTS):
        sums = _Sums()
        for update in updates:
            sums = sums.plus(by_update[update])
        mean, low, high = sums.total / sums.groups, None, None
        if sums.groups > 1:
            spread = max(sums.squares - sums.groups * mean * mean, 0.0) / (sums.groups - 1)
            interval = t_interval(mean, (spread / sums.groups) ** 0.5, sums.groups - 1)
            low, high = interval.low, interval.high
        cost = costs.get(updates[-1], 0.0)
        levels.append(Level(updates[-1], cost, mean, low, high, sums.groups))
    return tuple(levels)


def runs_of(values: Sequence[Value], most: int) -> list[Sequence[Value]]:
    """``values`` in at most so many pieces of neighbours."""
    size = max(1, -(-len(values) // most))
    return [values[i : i + size] for i in range(0, len(values), size)]


def _latency(seconds_R: FloatArray) -> Latency | None:
    known_R = seconds_R[np.isfinite(seconds_R) & (seconds_R >= 0)]
    if not len(known_R):
        return None
    p50, p95 = np.quantile(known_R, [0.5, 0.95])
    logs_R = np.log10(np.maximum(known_R, 1e-4))
    first, last = np.floor(logs_R.min() * BINS_PER_DECADE), logs_R.max() * BINS_PER_DECADE
    edges = np.arange(first, np.floor(last) + 2) / BINS_PER_DECADE
    counts, _ = np.histogram(logs_R, edges)
    bins = zip(
        (10 ** edges[:-1]).tolist(), (10 ** edges[1:]).tolist(), counts.tolist(), strict=True
    )
    return Latency(len(known_R), float(p50), float(p95), float(known_R.max()), tuple(bins))


def _failures(found: _Scan) -> tuple[Failed, ...]:
    kinds = dict.fromkeys(kind for kind, _ in found.failures)
    rows = [
        Failed(kind, found.failures[kind, "train"], found.failures[kind, "eval"],
               found.messages.get(kind, ""))
        for kind in kinds
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda row: -row.train - row.eval))


def _shown(path: Path, found: _Scan, sent: Sent) -> Iterator[Shown]:
    for rewarded, most, trained in (
        (found.trained, TRAINED, True),
        (found.final, HELD_OUT, False),
    ):
        rewards_R = np.frombuffer(rewarded.rewards, dtype=np.float64)
        if not len(rewards_R):
            continue
        newest_R = -np.arange(len(rewards_R))
        middle_R = np.abs(rewards_R - np.median(rewards_R))
        for rank, order_R in (("best", -rewards_R), ("median", middle_R), ("worst", rewards_R)):
            nearest = np.lexsort((newest_R, order_R))[:LOOKED_AT]
            offsets = [rewarded.offsets[i] for i in nearest]
            different = _different(_read(path, offsets, rank, trained, sent))
            yield from itertools.islice(different, most)
    for offset, trained in reversed(found.failed):
        yield from _read(path, [offset], "failed", trained, sent)


def _read(
    path: Path, offsets: Sequence[int], rank: str, trained: bool, sent: Sent
) -> Iterator[Shown]:
    for row in rows_at(path, offsets):
        try:
            rollout = shown(row, rank, trained, sent(row))
        except BROKEN:
            continue
        yield rollout


def _different(rollouts: Iterable[Shown]) -> Iterator[Shown]:
    """The first of different texts, few of each prompt."""
    texts, prompts = set[Text](), Counter[Text]()
    for rollout in rollouts:
        if rollout.text not in texts and prompts[rollout.prompt] < PER_PROMPT:
            texts.add(rollout.text)
            prompts[rollout.prompt] += 1
            yield rollout
