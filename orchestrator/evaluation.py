"""Held-out reward of a policy, and the paired comparison of two evaluations.

Held-out prompts never train and never select. The interval is a bootstrap over prompts, since the
prompts, not the completions, are the sample that stands for the world.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from orchestrator import groups
from orchestrator.dispatch import Dispatcher
from orchestrator.inputs import Inputs
from orchestrator.ledger import Progress
from orchestrator.preflight import Models
from orchestrator.rollouts import Group, Weights

RESAMPLES = 10_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Evaluation:
    """The held-out reward of one policy version."""

    step: int
    policy_version: int
    #: Held-out example id -> mean reward over its scored completions.
    rewards: Mapping[str, float]
    #: Reward part -> mean over all scored completions.
    parts: Mapping[str, float]
    failed: int
    groups: tuple[Group, ...]

    @property
    def reward(self) -> float | None:
        """Mean over the prompts; None if no prompt has a reward."""
        return float(np.mean(list(self.rewards.values()))) if self.rewards else None


class Comparison(NamedTuple):
    """Two evaluations of the same prompts, paired."""

    prompts: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    wins: int
    losses: int

    @property
    def verdict(self) -> str:
        """IMPROVED or WORSE if the interval excludes 0, else NO EVIDENCE."""
        if self.low > 0:
            return "IMPROVED"
        return "WORSE" if self.high < 0 else "NO EVIDENCE"


def evaluate(
    inputs: Inputs,
    models: Models,
    weights: Weights,
    dispatcher: Dispatcher,
    run: str,
    step: int,
    greedy: bool,
    observe: Callable[[Progress], None] = lambda progress: None,
) -> Evaluation:
    """Complete and score every held-out prompt ``eval_samples`` times under ``weights``."""
    batch = [(f"eval-{example.id}", example) for example in inputs.heldout]
    drawn = groups.draw(
        inputs,
        inputs.heldout_domains,
        weights,
        batch,
        step,
        inputs.config.eval_samples,
        greedy=greedy,
    )
    results = dispatcher.collect(
        groups.jobs(inputs, models, drawn, run, purpose="eval"),
        inputs.config.step_deadline_s,
        observe,
    )
    finished = groups.finish(drawn, results)
    scored = [r.reward for group in finished for r in group.rollouts if r.reward is not None]
    names = scored[0].parts if scored else {}
    return Evaluation(
        step=step,
        policy_version=weights.version,
        rewards={g.example.id: float(g.rewards().mean()) for g in finished if g.survivors()},
        parts={name: float(np.mean([reward.parts[name] for reward in scored])) for name in names},
        failed=sum(r.reward is None for group in finished for r in group.rollouts),
        groups=finished,
    )


def compare(before: Evaluation, after: Evaluation, seed: int) -> Comparison | None:
    """The gain over the prompts that both have, with its interval; None below 2 prompts."""
    shared = sorted(set(before.rewards) & set(after.rewards))
    if len(shared) < 2:
        return None
    before_P = np.array([before.rewards[name] for name in shared])
    after_P = np.array([after.rewards[name] for name in shared])
    low, high = bootstrap_interval(after_P - before_P, seed)
    return Comparison(
        prompts=len(shared),
        before=float(before_P.mean()),
        after=float(after_P.mean()),
        gain=float((after_P - before_P).mean()),
        low=low,
        high=high,
        wins=int((after_P > before_P).sum()),
        losses=int((after_P < before_P).sum()),
    )


def bootstrap_interval(gain_P: "np.typing.NDArray[np.float64]", seed: int) -> tuple[float, float]:
    """95% percentile interval of the mean of ``gain_P`` (P,), by resampling prompts.

    Widened by sqrt(P / (P - 1)), since the bootstrap's variance is that much too small
    (Efron & Tibshirani 1993, section 5.3).
    """
    size = len(gain_P)
    generator = np.random.Generator(np.random.Philox(key=seed))
    means = gain_P[generator.integers(0, size, (RESAMPLES, size))].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    centre, widen = gain_P.mean(), np.sqrt(size / (size - 1))
    return float(centre + (low - centre) * widen), float(centre + (high - centre) * widen)
