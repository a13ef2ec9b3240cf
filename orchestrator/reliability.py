"""The reward as an instrument: the judges' noise and agreement, and what they leave undecided.

- noise: the spread of one judge's score when it judges the same text again, from pairs;
- reliability: ICC(1,1) = (MSB - MSW) / (MSB + MSW) of the pairs, the share of a score's variance
  that is the text and not the judge (Shrout & Fleiss 1979), with Fisher's interval for pairs;
- within prompts: the same share of what differs between the texts for one prompt, which is all
  that training sees: 1 - noise^2 / variance;
- length: the correlation of reward with words within a prompt;
- group size: rollouts that show an effect of a given size with 80% power at 5%, when half of them
  have the choice: N = 4 (z_.975 + z_.8)^2 sigma^2 / effect^2, sigma from slots that repeat an
  action, else from what the effects leave over.

Pure numpy. Arrays: P pairs, R rollouts.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from orchestrator.intervals import CONFIDENCE, Interval
from orchestrator.rollouts import ROUNDING, Action, FloatArray, Group
from shared.messages import FailureKind

#: Effects on the reward for which the needed rollouts are said.
EFFECTS = (0.02, 0.05, 0.1)
POWER = 0.8
#: Pairs below which a spread or correlation is not said.
ENOUGH = 8


def measure(groups: Sequence[Group], batch_size: int, residual_std: float | None) -> dict[str, Any]:
    """Everything above as JSON values; None where nothing was measured.

    ``residual_std`` is the spread that the effects leave over, used where no action was repeated.
    """
    repeated = _repeated_actions(groups)
    noise_std = repeated["noise_std"] if repeated else residual_std
    return {
        "judge": judge_report(groups),
        "length_correlation": length_correlation(groups),
        "noise_std": noise_std,
        "noise_from": "repeated actions" if repeated else "residual",
        "needed": [
            {"effect": effect, **_needed(effect, noise_std, batch_size)} for effect in EFFECTS
        ]
        if noise_std
        else [],
    }


def judge_report(groups: Sequence[Group]) -> dict[str, Any] | None:
    """The judges' noise, reliability, agreement and answers without a score; None without any."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    rewards = [r.reward for r in rollouts if r.reward is not None and r.reward.judged]
    given_up = sum(r.failure is not None and r.failure.kind is FailureKind.NO_SCORE
                   for r in rollouts)  # fmt: skip
    if not rewards and not given_up:
        return None
    pairs = [p for r in rewards for p in zip(r.judged, r.rejudged, strict=False)]
    again = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    several = [reward.judged for reward in rewards if len(reward.judged) > 1]
    asked = sum(len(reward.judged) + len(reward.rejudged) for reward in rewards) + given_up
    unread = sum(reward.asked_again for reward in rewards) + given_up
    measured = len(again) >= ENOUGH
    return {
        "judgements": asked,
        "pairs": len(again),
        "noise_std": _spread(float(np.mean(np.diff(again) ** 2)) / 2) if measured else None,
        "reliability": _icc(again) if measured else None,
        "reliability_within_prompts": _within_prompts(groups, again) if measured else None,
        "agreement": _icc(np.array([scores[:2] for scores in several], dtype=np.float64))
        if len(several) >= ENOUGH
        else None,
        "without_score_at_first": unread,
        "without_score": given_up,
        "parse_failure_rate": unread / asked,
    }


def _within_prompts(groups: Sequence[Group], again_P2: FloatArray) -> float | None:
    squares, freedom = 0.0, 0
    for group in groups:
        first = [r.reward.judged[0] for r in group.survivors() if r.reward and r.reward.judged]
        if first:
            squares += float(np.var(first)) * len(first)
            freedom += len(first) - 1
    if not _spread(squares):
        return None
    noise = float(np.mean(np.diff(again_P2) ** 2)) / 2
    return max(0.0, 1 - noise * freedom / squares)


def length_correlation(groups: Sequence[Group]) -> dict[str, float] | None:
    """Pearson's r of reward and words within prompts, with Fisher's interval."""
    rows: list[FloatArray] = []
    freedom = 0
    for group in groups:
        found = [
            (r.reward.value, len(r.completion.text.split()))
            for r in group.rollouts
            if r.reward is not None and r.completion is not None
        ]
        if len(found) >= 2:
            values_G2 = np.array(found, dtype=np.float64)
            rows.append(values_G2 - values_G2.mean(axis=0))
            freedom += len(found) - 1
    if freedom < ENOUGH:
        return None
    both_R2 = np.concatenate(rows)
    spread = np.sqrt((both_R2**2).sum(axis=0))
    if spread.min() <= ROUNDING:
        return None
    value = float(both_R2[:, 0] @ both_R2[:, 1] / spread.prod())
    return _fisher(value, freedom - 2)._asdict()


def rollouts_needed(effect: float, noise_std: float) -> int:
    """Rollouts that show an effect of this size with ``POWER``, half of them with the choice."""
    normal = NormalDist()
    z = normal.inv_cdf((1 + CONFIDENCE) / 2) + normal.inv_cdf(POWER)
    return max(4, math.ceil(4 * (z * noise_std / effect) ** 2))


def _needed(effect: float, noise_std: float, batch_size: int) -> dict[str, int]:
    needed = rollouts_needed(effect, noise_std)
    return {"rollouts": needed, "group_size": max(2, math.ceil(needed / batch_size))}


def _repeated_actions(groups: Sequence[Group]) -> dict[str, float] | None:
    """The spread of the rewards of one action for one prompt at one step."""
    squares, freedom = 0.0, 0
    for group in groups:
        same: defaultdict[Action, list[float]] = defaultdict(list)
        for rollout in group.rollouts:
            if rollout.reward is not None:
                same[rollout.action].append(rollout.reward.value)
        for values in same.values():
            squares += float(np.var(values)) * len(values)
            freedom += len(values) - 1
    return {"noise_std": _spread(squares / freedom)} if freedom >= ENOUGH else None


def _spread(variance: float) -> float:
    """The root; 0 where equal numbers differ by rounding alone."""
    std = math.sqrt(variance)
    return std if std > ROUNDING else 0.0


def _icc(scores_P2: FloatArray) -> dict[str, float]:
    """ICC(1,1) of pairs; 0 if no score differs from another."""
    between = 2 * float(scores_P2.mean(axis=1).var(ddof=1))
    within = float(np.mean(np.diff(scores_P2) ** 2)) / 2
    total = between + within
    value = (between - within) / total if _spread(total) else 0.0
    return _fisher(value, len(scores_P2) - 1.5)._asdict()


def _fisher(value: float, weight: float) -> Interval:
    """A correlation with its interval by atanh, whose variance is 1 / weight."""
    centre = math.atanh(min(max(value, -0.999999), 0.999999))
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) / math.sqrt(max(weight, 1.0))
    return Interval(value, math.tanh(centre - reach), math.tanh(centre + reach))
