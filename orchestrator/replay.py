"""Training again from stored rollouts, with other reward weights or another update. Calls nothing.

The batches come in order, each group with the params that acted, so that the natural solver sees
exactly what it would have seen, and the clipped one its exact ratios. What differs from a fresh run
is which actions were tried: those of the stored run.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from orchestrator import advantages, update
from orchestrator.algorithm import Algorithm
from orchestrator.off_policy import Estimate, Target, averaged, estimate
from orchestrator.rollouts import Group, Rollout, UpdateReport, Weights
from orchestrator.space import Space
from orchestrator.stored_run import Batch
from shared.errors import UsageError
from shared.messages import RewardTerm


class Replayed(NamedTuple):
    """One step of a replay."""

    step: int
    weights: Weights
    report: UpdateReport
    groups: tuple[Group, ...]


def rewarded(batches: Sequence[Batch], terms: Sequence[RewardTerm]) -> tuple[Batch, ...]:
    """The batches with the reward that these terms' weights give to the stored parts.

    Raises UsageError if a part was not recorded, or no part has a weight.
    """
    if not any(term.weight for term in terms):
        raise UsageError("reward_weights are all 0; at least one part must count")
    return tuple(
        Batch(update, tuple(_rewarded(group, terms) for group in groups))
        for update, groups in batches
    )


def _rewarded(group: Group, terms: Sequence[RewardTerm]) -> Group:
    counted = [term for term in terms if term.weight]
    total = sum(term.weight for term in counted)

    def changed(rollout: Rollout) -> Rollout:
        reward = rollout.reward
        if reward is None:
            return rollout
        missing = [term.name for term in counted if term.name not in reward.parts]
        if missing:
            raise UsageError(
                f"{missing[0]!r} was not recorded in step {group.step}; recorded are"
                f" {', '.join(reward.parts)}; a part of weight 0 is recorded too"
            )
        value = sum(term.weight * reward.parts[term.name] for term in counted) / total
        parts = [reward.parts[term.name] for term in counted]
        bounded = min(max(parts), max(min(parts), value))
        return replace(rollout, reward=reward.model_copy(update={"value": bounded}))

    return replace(group, rollouts=tuple(map(changed, group.rollouts)))


def replay(
    batches: Sequence[Batch], start: Weights, algorithm: Algorithm, spaces: Mapping[str, Space]
) -> Iterator[Replayed]:
    """Every update again, from ``start``."""
    weights = start
    for number, groups in batches:
        scored = advantages.assign(groups, algorithm)
        weights, report = update.step(weights, scored, algorithm, spaces)
        yield Replayed(number, weights, report, scored)


def trained(
    batches: Sequence[Batch], start: Weights, algorithm: Algorithm, spaces: Mapping[str, Space]
) -> Weights:
    """The weights after every update; ``start`` without any."""
    weights = start
    for step in replay(batches, start, algorithm, spaces):
        weights = step.weights
    return weights


def cross_fitted(
    batches: Sequence[Batch],
    start: Weights,
    algorithm: Algorithm,
    spaces: Mapping[str, Space],
    greedy: bool = False,
    judged: Callable[[Sequence[Batch]], Sequence[Batch]] = tuple,
) -> Estimate | None:
    """What training like this earns: trained on half of the examples, judged by the others.

    The mean of both ways round; None if a half has too few groups. Half the rollouts train a little
    less well than all of them. ``greedy`` judges the policy as deployed; ``judged`` gives batches
    the rewards that they are judged by, if those are others than it is trained by.
    """
    halves = [_half(batches, half) for half in (0, 1)]
    found = []
    for own, others in (halves, halves[::-1]):
        weights = trained(others, start, algorithm, spaces)
        found.append(estimate(flat(judged(own)), targets(weights, greedy), spaces))
    one, other = found
    return averaged(one, other) if one is not None and other is not None else None


def flat(batches: Sequence[Batch]) -> tuple[Group, ...]:
    """Their groups, in order."""
    return tuple(group for batch in batches for group in batch.groups)


def targets(weights: Weights, greedy: bool = False) -> dict[str, Target]:
    """A whole policy as what is judged."""
    return {name: Target(domain.params, greedy) for name, domain in weights.domains.items()}


def _half(batches: Sequence[Batch], half: int) -> list[Batch]:
    """The batches with the groups of every other example; without those that lose all."""
    kept = []
    for number, groups in batches:
        own = tuple(g for g in groups if zlib.crc32(f"half/{g.example.id}".encode()) % 2 == half)
        if own:
            kept.append(Batch(number, own))
    return kept
