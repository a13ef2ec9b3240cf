"""What should make a person look: a reward that teaches nothing, or is gamed. Each is told once.

- ``overfit``: the training reward rises while the held-out reward falls from its best. The fall
  counts when its paired interval excludes 0, at a confidence shared out over the evaluations that
  could have been the best.
- ``length``: completions are ``LENGTH_GROWTH`` times as long as in the first steps; twice that
  growth where the ``length`` reward asks for a length by itself.
- ``one_concept``: for ``PERSISTS`` steps one concept is in nearly every prompt of a domain while
  the places beside it are open.
- ``no_difference``: the first ``FIRST_REWARDS`` rewards of a domain differ within no prompt.
- ``score_scale``: none of ``FIRST_SCORES`` judge's scores or more is above 1 of 10.
- ``missing``: of ``FIRST_ROLLOUTS`` rollouts or more, beginning anywhere, more than a tenth ended
  without a reward: the policy learns from the others alone, which may be those of one kind.
- ``unmatched``: more than a tenth of the prompts match no domain, and were left out.

Pure; rebuilt after a resume from the rows of ``metrics.jsonl`` and the kept evaluations.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.advantages import has_spread
from orchestrator.evaluation import Evaluation
from orchestrator.inputs import Inputs
from orchestrator.intervals import CONFIDENCE
from orchestrator.paired import compare
from orchestrator.rollouts import ROUNDING, Group

#: Steps whose mean is a level, at the start and now.
WINDOW = 3
LENGTH_GROWTH = 1.5
#: Inclusion probability of a concept that takes all, and of the next where places are taken too.
TAKES_ALL, TAKEN_TOO = 0.95, 0.75
PERSISTS = 3
#: Rewards that must have shown a difference.
FIRST_REWARDS = 32
#: Judge's scores that must have shown one above 1 of 10, which stand as shares of 10.
FIRST_SCORES, LOWEST_SCORES = 16, 0.1
#: Rollouts that are looked at together, and the share of them that may end without a reward.
FIRST_ROLLOUTS, MISSING = 32, 0.1
#: What is told of each domain by itself, else of the run.
OF_DOMAINS = ("one_concept", "no_difference")
#: The key of a step's mean completion length in words.
LENGTH = "completion_words"


class Alarm(NamedTuple):
    """One alarm. Made here, shown by the trackers, kept in ``run.json``."""

    step: int
    kind: str
    words: str


class _Seen(NamedTuple):
    """The first rewards of a domain."""

    rewards: int = 0
    low: float = float("inf")
    high: float = float("-inf")
    #: Whether those of a prompt differed.
    differ: bool = False

    def after(self, group: Group) -> "_Seen":
        rewards_G = group.rewards()
        if not len(rewards_G):
            return self
        return _Seen(
            self.rewards + len(rewards_G),
            min(self.low, float(rewards_G.min())),
            max(self.high, float(rewards_G.max())),
            self.differ or has_spread(rewards_G),
        )


class Alarms:
    """Watches one run. One per run and process."""

    def __init__(
        self,
        inputs: Inputs,
        rows: Sequence[Mapping[str, Any]] = (),
        evaluations: Sequence[Evaluation] = (),
    ) -> None:
        self._inputs = inputs
        steps = [row for row in rows if "reward" in row]
        self._rewards = {int(row["step"]): float(row["reward"]) for row in steps}
        self._words = [float(row[LENGTH]) for row in steps if row.get(LENGTH) is not None]
        self._evaluations = list(evaluations)
        self._lonely: dict[str, int] = {}
        #: Empty after a resume, whose first rewards were looked at before it.
        self._unseen = set() if steps else set(inputs.domains)
        self._seen: dict[str, _Seen] = {}
        #: Judge's scores of this process, and the largest of them.
        self._scores, self._largest_score = 0, 0.0
        #: How rollouts ended since they were last looked at: a failure's words, or None.
        self._ends: Counter[str | None] = Counter()
        self.told = [
            Alarm(row["step"], row["alarm"], row["words"]) for row in rows if "alarm" in row
        ]

    def stepped(
        self, step: int, metrics: Mapping[str, float | int | None], groups: Sequence[Group]
    ) -> list[Alarm]:
        """The alarms that a step raises for the first time."""
        self._rewards[step] = float(metrics["reward"] or 0.0)
        if (words := metrics.get(LENGTH)) is not None:
            self._words.append(float(words))
        found = [
            self._unmatched(step),
            *self._no_difference(step, groups),
            self._score_scale(step, groups),
            self._missing(step, groups),
            self._length(step),
            *self._one_concept(step, groups),
        ]
        return self._new(found)

    def evaluated(self, evaluation: Evaluation) -> list[Alarm]:
        """The alarms that a held-out evaluation of the policy raises for the first time."""
        found = [self._overfit(evaluation), self._missing(evaluation.step, evaluation.groups)]
        self._evaluations.append(evaluation)
        return self._new(found)

    def _new(self, found: Sequence[Alarm | None]) -> list[Alarm]:
        told = {(alarm.kind, _subject(alarm)) for alarm in self.told}
        new = [a for a in found if a is not None and (a.kind, _subject(a)) not in told]
        self.told += new
        return new

    def _unmatched(self, step: int) -> Alarm | None:
        words = self._inputs.left_out
        return Alarm(step, "unmatched", f"{words}; they trained nothing") if words else None

    def _missing(self, step: int, groups: Sequence[Group]) -> Alarm | None:
        self._ends += Counter(
            f"{r.failure.kind.value}: {r.failure.message}" if r.failure else None
            for group in groups
            for r in group.rollouts
        )
        ended, self._ends = self._ends, Counter()
        if ended.total() < FIRST_ROLLOUTS:
            self._ends = ended
            return None
        failed = Counter({words: count for words, count in ended.items() if words is not None})
        if failed.total() <= MISSING * ended.total():
            return None
        words, count = failed.most_common(1)[0]
        return Alarm(
            step,
            "missing",
            f"{failed.total()} of {ended.total()} rollouts ended without a reward, {count} of them"
            f" with {words.rstrip('.')}: the policy learns from the others alone, and the held-out"
            " reward speaks of the others alone",
        )

    def _score_scale(self, step: int, groups: Sequence[Group]) -> Alarm | None:
        scores = [
            score
            for group in groups
            for rollout in group.rollouts
            if rollout.reward is not None
            for score in rollout.reward.judged
        ]
        self._scores += len(scores)
        self._largest_score = max([self._largest_score, *scores])
        if self._scores < FIRST_SCORES or not 0 < self._largest_score <= LOWEST_SCORES:
            return None
        return Alarm(
            step,
            "score_scale",
            f"none of {self._scores} judge's scores is above {10 * self._largest_score:g} of 10:"
            " it seems to score from 0 to 1; say in the rubric what 0 and 10 mean",
        )

    def _overfit(self, now: Evaluation) -> Alarm | None:
        earlier = [e for e in self._evaluations if e.reward is not None and e.step < now.step]
        if not earlier or now.reward is None:
            return None
        best = max(earlier, key=lambda evaluation: evaluation.reward or 0.0)
        confidence = 1 - (1 - CONFIDENCE) / len(earlier)
        fall = compare(best.rewards, now.rewards, confidence)
        then, latest = self._level(best.step + 1), self._level(now.step - WINDOW + 1)
        if fall is None or fall.verdict != "WORSE" or not then < latest:
            return None
        return Alarm(
            now.step,
            "overfit",
            f"the training reward rose ({then:.3f} -> {latest:.3f}) while the held-out reward fell"
            f" since step {best.step} ({fall.before:.3f} -> {fall.after:.3f}): the policy learns"
            " what only the training prompts, or the judge's taste of the day, reward",
        )

    def _level(self, first: int) -> float:
        """Mean training reward of ``WINDOW`` steps from ``first`` on; NaN without any."""
        steps = [self._rewards[s] for s in range(first, first + WINDOW) if s in self._rewards]
        return float(np.mean(steps)) if steps else float("nan")

    def _length(self, step: int) -> Alarm | None:
        if len(self._words) < 2 * WINDOW:
            return None
        start, now = (float(np.mean(w)) for w in (self._words[:WINDOW], self._words[-WINDOW:]))
        asked = any(t.name == "length" and t.weight > 0 for t in self._inputs.rewards)
        if start <= 0 or now < start * LENGTH_GROWTH * (2 if asked else 1):
            return None
        return Alarm(
            step,
            "length",
            f"completions are {now / start:.1f} times as long as at the start ({start:.0f} ->"
            f" {now:.0f} words): look whether the reward pays for length",
        )

    def _no_difference(self, step: int, groups: Sequence[Group]) -> list[Alarm]:
        for group in groups:
            if group.domain in self._unseen:
                seen = self._seen.get(group.domain, _Seen())
                self._seen[group.domain] = seen.after(group)
        looked = {
            name for name in self._unseen if self._seen.get(name, _Seen()).rewards >= FIRST_REWARDS
        }
        self._unseen -= looked
        flat = [
            name for name in self._inputs.domains if name in looked and not self._seen[name].differ
        ]
        return [Alarm(step, "no_difference", self._flat_words(name)) for name in flat]

    def _flat_words(self, name: str) -> str:
        seen = self._seen[name]
        told = f"every one of {seen.rewards} rewards was {seen.high:.3f}"
        if seen.high - seen.low > ROUNDING:
            told = (
                f"within each prompt all rewards were equal ({seen.rewards} rewards from"
                f" {seen.low:.3f} to {seen.high:.3f})"
            )
        return (
            f"{name}: {told}: nothing can be learnt from rewards that do not differ; look at the"
            " reward functions and at some completions"
        )

    def _one_concept(self, step: int, groups: Sequence[Group]) -> list[Alarm]:
        found = []
        newest = {group.domain: group for group in groups}
        for name, group in newest.items():
            space, domain = self._inputs.spaces[name], self._inputs.domains[name]
            mu_n = policy.inclusion(group.acted, space)
            first, second = np.argsort(-mu_n, kind="stable")[:2]
            alone = mu_n[first] >= TAKES_ALL and (space.k == 1 or mu_n[second] < TAKEN_TOO)
            self._lonely[name] = self._lonely.get(name, 0) + 1 if alone else 0
            if self._lonely[name] >= PERSISTS:
                words = (
                    f"{name}: {domain.concepts[int(first)]!r} is in {mu_n[first]:.0%} of the"
                    " prompts: look whether each of them needs it"
                )
                found.append(Alarm(step, "one_concept", words))
        return found


def _subject(alarm: Alarm) -> str:
    """What may be told of once: each domain by itself, else the run."""
    return alarm.words.partition(":")[0] if alarm.kind in OF_DOMAINS else ""
