"""Rewards without any noise, or without any difference, are ordinary: nothing divides by 0."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from orchestrator import advantages, effects, off_policy, reliability, update
from orchestrator.algorithm import Algorithm, Clipped, Natural
from orchestrator.off_policy import Target
from orchestrator.replay import cross_fitted
from orchestrator.rollouts import Group, Rollout, Weights
from orchestrator.stored_run import Batch
from orchestrator.update.losses import LOSSES
from orchestrator.update.optimizers import OPTIMIZERS
from tests.simulated import DOMAIN, NOTHING, SPACE, World, draw, fresh

Rewarded = Callable[[Group, Rollout], float]
SPACES = {DOMAIN: SPACE}
#: How a rollout is paid, and whether there is anything to learn from it.
REWARDS: dict[str, tuple[Rewarded, bool]] = {
    "always 0": (lambda group, rollout: 0.0, False),
    "always 1": (lambda group, rollout: 1.0, False),
    "always 0.1": (lambda group, rollout: 0.1, False),
    "the same for each prompt": (lambda group, rollout: int(group.id[1:]) / 10, False),
    "rounding": (lambda group, rollout: 0.1 + (0.2 if rollout.slot % 2 else 0.2 - 1e-17), False),
    "rounding of 1e-17": (lambda group, rollout: 1e-17 * (rollout.slot % 2), False),
    "a concept alone": (lambda group, rollout: float(0 in rollout.action.concepts), True),
    "a pair alone": (lambda group, rollout: float({0, 1} <= {*rollout.action.concepts}), True),
}
SOLVERS: dict[str, Algorithm] = {
    "natural": Natural(),
    "temperature": Natural(exploration="temperature"),
    "no memory": Natural(gamma=0.001),
    "ema": Clipped(advantage="ema"),
    "rloo": Clipped(advantage="rloo", scale_rewards="none"),
    "batch": Clipped(scale_rewards="batch", target_kl=0.01, entropy_target=0.5, max_kl=0.1),
    "natural, capped": Natural(winsorize_mad=3.0, max_kl=0.1),
    **{f"loss {name}": Clipped.model_validate({"loss_type": name}) for name in LOSSES},
    **{f"optimizer {name}": Clipped.model_validate({"optimizer": name}) for name in OPTIMIZERS},
}


def paid(group: Group, how: Rewarded, survivors: int | None = None) -> Group:
    """The group with these rewards, of which only the first ``survivors`` slots have one."""
    rollouts = tuple(
        replace(r, reward=r.reward and r.reward.model_copy(
            update={"value": how(group, r), "parts": {"part": how(group, r)},
                    "judged": (how(group, r),), "rejudged": (how(group, r),)}))
        if survivors is None or r.slot < survivors else replace(r, reward=None)
        for r in group.rollouts
    )  # fmt: skip
    return replace(group, rollouts=rollouts)


def trained(
    how: Rewarded, algorithm: Algorithm, steps: int, survivors: int | None = None
) -> tuple[list[Batch], Weights]:
    weights, batches = fresh(), list[Batch]()
    source = np.random.default_rng(0)
    for step in range(1, steps + 1):
        acted = weights.domains[DOMAIN].params
        drawn = [draw(World(), acted, weights.version, 0, step, f"e{i}", 8, source)
                 for i in range(4)]  # fmt: skip
        scored = advantages.assign([paid(g, how, survivors) for g in drawn], algorithm)
        weights, _ = update.step(weights, scored, algorithm, SPACES)
        batches.append(Batch(step, scored))
    return batches, weights


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", REWARDS)
def test_every_solver_takes_every_reward_and_learns_from_differences_alone(
    name: str, solver: str
) -> None:
    how, teaches = REWARDS[name]

    _, weights = trained(how, SOLVERS[solver], steps=2)

    moved = weights.domains[DOMAIN].params.flat()
    assert np.isfinite(moved).all()
    if not teaches and solver != "ema":
        assert np.abs(moved).max() == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("survivors", [None, 2, 1])
@pytest.mark.parametrize("name", REWARDS)
def test_every_reward_can_be_explained_and_judged(name: str, survivors: int | None) -> None:
    how, teaches = REWARDS[name]
    batches, weights = trained(how, Natural(), 6, survivors)
    groups = [group for batch in batches for group in batch.groups]

    found = effects.estimate(groups, SPACE)
    measured = reliability.measure(groups, 8, found.noise_std)
    off_policy.estimate(groups, {DOMAIN: Target(NOTHING)}, SPACES)
    cross_fitted(batches, fresh(), Natural(), SPACES)

    assert np.isfinite(found.noise_std)
    if not teaches:
        assert found.pairs == ()
        assert found.noise_std < 1e-12
        assert not measured["noise_std"]
        assert measured["length_correlation"] is None
    assert weights.version == 6


def test_an_effect_without_noise_is_certain() -> None:
    batches, _ = trained(REWARDS["a concept alone"][0], Natural(), 6)
    groups = [group for batch in batches for group in batch.groups]

    first, *others = effects.estimate(groups, SPACE).choices

    assert first.reward is not None
    assert first.reward.clear
    assert first.reward.low > 0.5
    assert all(other.reward is not None and other.reward.high < 0.5 for other in others)
