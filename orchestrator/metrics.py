"""One step in numbers, under the field's names."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from orchestrator.rollouts import Group, Rollout, UpdateReport, Weights

Metrics = dict[str, float | int | None]


def step_metrics(
    weights: Weights,
    report: UpdateReport,
    scored: Sequence[Group],
    spent: Mapping[str, float | int],
    seconds: float,
) -> Metrics:
    """The metrics of a step; ``spent`` is the run's ledger after it."""
    rollouts = [rollout for group in scored for rollout in group.rollouts]
    rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
    values = np.array([reward.value for reward in rewards])
    spreads = [group.rewards().std() for group in scored if len(group.survivors()) > 1]
    times = [r.completion.seconds for r in rollouts if r.completion is not None]
    failures = Counter(r.failure.kind.value for r in rollouts if r.failure is not None)
    return {
        "policy_version": weights.version,
        "reward": float(values.mean()),
        "reward_std": float(np.mean(spreads)) if spreads else 0.0,
        **{
            f"rewards/{name}/mean": float(np.mean([reward.parts[name] for reward in rewards]))
            for name in rewards[0].parts
        },
        "rollouts": len(rollouts),
        "rollouts_used": report.rollouts_used,
        "groups_dropped": report.groups_dropped,
        "groups_stale": len(scored) - report.groups_given,
        "staleness": float(np.mean([weights.version - 1 - g.policy_version for g in scored])),
        "frac_reward_zero_std": report.frac_reward_zero_std,
        "frac_repeated_actions": _repeated(scored) / max(len(rollouts), 1),
        "entropy": report.entropy,
        "kl": report.kl,
        "kl_step": report.kl_step,
        "clip_ratio": report.clip_ratio,
        "clip_ratio/low_mean": report.clip_ratio_low,
        "clip_ratio/high_mean": report.clip_ratio - report.clip_ratio_low,
        "learning_rate": report.learning_rate,
        "temperature": report.temperature,
        "failed": sum(failures.values()),
        **{f"failed/{kind}": count for kind, count in sorted(failures.items())},
        "truncated": sum(_finished(r, "length") for r in rollouts),
        "refused": sum(_finished(r, "content_filter") for r in rollouts),
        **_judge_noise(rollouts),
        **spent,
        "completion_words": _mean_words(rollouts),
        "completion_s/p50": float(np.median(times)),
        "completion_s/p95": float(np.quantile(times, 0.95)),
        "step_s": seconds,
    }


def _repeated(groups: Sequence[Group]) -> int:
    """Slots whose action an earlier slot of their group has already."""
    return sum(len(g.rollouts) - len({r.action for r in g.rollouts}) for g in groups)


def _finished(rollout: Rollout, reason: str) -> bool:
    return rollout.completion is not None and rollout.completion.finish_reason == reason


def _mean_words(rollouts: Sequence[Rollout]) -> float | None:
    """Mean length of the completions that have a reward."""
    lengths = [
        len(r.completion.text.split())
        for r in rollouts
        if r.completion is not None and r.reward is not None
    ]
    return float(np.mean(lengths)) if lengths else None


def _judge_noise(rollouts: Sequence[Rollout]) -> Metrics:
    """Standard deviation of one judge's score, from pairs: sqrt(mean((a - b)^2) / 2)."""
    pairs = [
        pair
        for r in rollouts
        if r.reward is not None
        for pair in zip(r.reward.judged, r.reward.rejudged, strict=False)
    ]
    if not pairs:
        return {}
    squares = [(first - second) ** 2 for first, second in pairs]
    return {"judge/noise_std": float(np.sqrt(np.mean(squares) / 2)), "judge/pairs": len(pairs)}
