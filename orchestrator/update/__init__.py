"""The GRPO step: one version of the weights and a batch of groups -> the next version.

A file per solver: ``natural`` (closed form) and ``clipped`` (textbook passes). This file puts the
groups in order, gives every domain its own, and reports. Pure numpy; knows no queue and no store.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from orchestrator import policy
from orchestrator.advantages import count_signals
from orchestrator.algorithm import AdvantageKnobs, Algorithm, Clipped, Natural
from orchestrator.encoding import encode
from orchestrator.rollouts import DomainWeights, Group, UpdateReport, Weights
from orchestrator.space import Space
from orchestrator.update import clipped, natural
from orchestrator.update.solution import Solution

Solver = Callable[[DomainWeights, Sequence[Group], Any, Space], Solution]

#: Which function solves for which knobs.
SOLVERS: Mapping[type[AdvantageKnobs], Solver] = {
    Natural: natural.solve,
    Clipped: clipped.solve,
}


class Updated(NamedTuple):
    """The next version and what the step did."""

    weights: Weights
    report: UpdateReport


class _Solved(NamedTuple):
    solution: Solution
    rollouts: int
    entropy: float
    kl: float
    kl_step: float


def step(
    weights: Weights,
    groups: Sequence[Group],
    algorithm: Algorithm,
    spaces: Mapping[str, Space],
) -> Updated:
    """One update from groups as ``advantages.assign`` returned them; the version always rises by 1.

    The result is the same in whatever order groups and slots arrive. Without a signal the params
    stay as they are. Raises ValueError for a group of fewer than two slots or of an unknown domain.
    """
    by_domain: defaultdict[str, list[Group]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: (group.step, group.id)):
        _check(group, weights)
        slots = tuple(sorted(group.rollouts, key=lambda rollout: rollout.slot))
        by_domain[group.domain].append(replace(group, rollouts=slots))
    solved = {
        name: _solve(weights.domains[name], by_domain[name], algorithm, spaces[name])
        for name in sorted(by_domain)
    }
    domains = {**weights.domains, **{name: s.solution.weights for name, s in solved.items()}}
    report = _report(list(solved.values()), groups)
    return Updated(replace(weights, version=weights.version + 1, domains=domains), report)


def _check(group: Group, weights: Weights) -> None:
    if len(group.rollouts) < 2:
        raise ValueError(
            f"group {group.id!r} of step {group.step} has {len(group.rollouts)} slots: "
            "advantages compare the slots of a group, so group_size must be at least 2"
        )
    if group.domain not in weights.domains:
        raise ValueError(
            f"group {group.id!r} belongs to domain {group.domain!r}, "
            f"but the weights know only {sorted(weights.domains)}"
        )


def _solve(
    old: DomainWeights, groups: Sequence[Group], algorithm: Algorithm, space: Space
) -> _Solved:
    solution = SOLVERS[type(algorithm)](old, groups, algorithm, space)
    actions = encode(space, [rollout.action for group in groups for rollout in group.rollouts])
    params = solution.weights.params
    return _Solved(
        solution,
        len(actions.template_R),
        policy.entropy_value(params, space, actions),
        policy.kl_value(params, old.reference, space, actions),
        policy.kl_value(params, old.params, space, actions),
    )


def _report(solved: Sequence[_Solved], groups: Sequence[Group]) -> UpdateReport:
    dropped, zero_std = count_signals(groups)
    rollouts = [s.rollouts for s in solved]
    return UpdateReport(
        groups_given=len(groups),
        rollouts_used=sum(s.solution.used for s in solved),
        frac_reward_zero_std=zero_std / max(len(groups) - dropped, 1),
        groups_dropped=dropped,
        entropy=_mean([s.entropy for s in solved], rollouts) or 0.0,
        kl=_mean([s.kl for s in solved], rollouts) or 0.0,
        kl_step=_mean([s.kl_step for s in solved], rollouts) or 0.0,
        clip_ratio=_mean([s.solution.clip_ratio for s in solved], rollouts) or 0.0,
        clip_ratio_low=_mean([s.solution.clip_ratio_low for s in solved], rollouts) or 0.0,
        learning_rate=_mean([s.solution.learning_rate for s in solved], rollouts),
        temperature=_mean([s.solution.temperature for s in solved], rollouts),
    )


def _mean(values: Sequence[float | None], rollouts: Sequence[int]) -> float | None:
    """The mean over the domains that have a value, weighted by their rollouts; None without any."""
    known = [(value, r) for value, r in zip(values, rollouts, strict=True) if value is not None]
    total = sum(r for _, r in known)
    return sum(value * r for value, r in known) / total if total else None
