"""Training again from stored rollouts, with other reward weights or another update. Calls nothing.

The groups come in their order, each with the params that acted, so that the natural solver sees
exactly what it would have seen, and the clipped one its exact ratios. What differs from a fresh run
is which actions were tried: those of the stored run.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from orchestrator import advantages, update
from orchestrator.algorithm import Algorithm
from orchestrator.off_policy import Estimate, Target, averaged, estimate
from orchestrator.rollouts import Group, Rollout, UpdateReport, Weights
from orchestrator.space import Space
from shared.errors import UsageError
from shared.messages import RewardTerm


class Replayed(NamedTuple):
    """One step of a replay."""

    step: int
    weights: Weights
    report: UpdateReport
    groups: tuple[Group, ...]


def rewarded(groups: Sequence[Group], terms: Sequence[RewardTerm]) -> tuple[Group, ...]:
    """The groups with the reward that these terms' weights give to the stored parts.

    Raises UsageError if a part was not recorded, or no part has a weight.
    """
    total = sum(term.weight for term in terms)
    if total == 0:
        raise UsageError("reward_weights are all 0; at least one part must count")

    def changed(group: Group, rollout: Rollout) -> Rollout:
        reward = rollout.reward
        if reward is None:
            return rollout
        missing = [term.name for term in terms if term.weight and term.name not in reward.parts]
        if missing:
            raise UsageError(
                f"{missing[0]!r} was not recorded in step {group.step}; recorded are"
                f" {', '.join(reward.parts)}; a part of weight 0 is recorded too"
            )
        value = sum(term.weight * reward.parts[term.name] for term in terms if term.weight) / total
        return replace(rollout, reward=reward.model_copy(update={"value": min(1.0, value)}))

    return tuple(
        replace(group, rollouts=tuple(changed(group, rollout) for rollout in group.rollouts))
        for group in groups
    )


def replay(
    groups: Sequence[Group], start: Weights, algorithm: Algorithm, spaces: Mapping[str, Space]
) -> Iterator[Replayed]:
    """Every step again, from ``start``, in the order of the groups' steps."""
    weights = start
    for step, own in groupby(sorted(groups, key=lambda group: group.step), lambda g: g.step):
        scored = advantages.assign(tuple(own), algorithm)
        weights, report = update.step(weights, scored, algorithm, spaces)
        yield Replayed(step, weights, report, scored)


def trained(
    groups: Sequence[Group], start: Weights, algorithm: Algorithm, spaces: Mapping[str, Space]
) -> Weights:
    """The weights after every step; ``start`` without any."""
    weights = start
    for step in replay(groups, start, algorithm, spaces):
        weights = step.weights
    return weights


def cross_fitted(
    groups: Sequence[Group],
    start: Weights,
    algorithm: Algorithm,
    spaces: Mapping[str, Space],
    greedy: bool = False,
    judged: Callable[[Sequence[Group]], Sequence[Group]] = tuple,
) -> Estimate | None:
    """What training like this earns: trained on half of the examples, judged by the others.

    The mean of both ways round; None if a half has too few groups. Half the rollouts train a little
    less well than all of them. ``greedy`` judges the policy as deployed; ``judged`` gives groups
    the rewards that they are judged by, if those are others than it is trained by.
    """
    halves = [[group for group in groups if _half(group) == half] for half in (0, 1)]
    found = []
    for own, others in (halves, halves[::-1]):
        weights = trained(others, start, algorithm, spaces)
        found.append(estimate(judged(own), targets(weights, greedy), spaces))
    one, other = found
    return averaged(one, other) if one is not None and other is not None else None


def targets(weights: Weights, greedy: bool = False) -> dict[str, Target]:
    """A whole policy as what is judged."""
    return {name: Target(domain.params, greedy) for name, domain in weights.domains.items()}


def _half(group: Group) -> int:
    return zlib.crc32(f"half/{group.example.id}".encode()) % 2
