"""What whole runs are told at their end: chance is no improvement, a true gain is found."""

import numpy as np
import pytest

from orchestrator.paired import compare
from orchestrator.rollouts import Params
from tests.simulated import NOTHING, SPACE, World, held_out, simulate

RUNS = 200
#: Completions per held-out prompt: the default of eval_samples.
SAMPLES = 4


def verdicts(world: World, prompts: int, policies: list[Params]) -> list[str]:
    told = []
    for seed in range(RUNS):
        before = held_out(world, None, prompts, SAMPLES, 2 * seed)
        after = held_out(world, policies[seed % len(policies)], prompts, SAMPLES, 2 * seed + 1)
        found = compare(before, after)
        assert found is not None
        told.append(found.verdict)
    return told


@pytest.mark.parametrize("prompts", [8, 24])
def test_200_runs_without_any_effect_are_told_improved_in_at_most_2_5_percent(prompts: int) -> None:
    world = World()
    learnt = [simulate(world, seed, steps=3).params for seed in range(40)]
    assert max(float(np.ptp(params.theta)) for params in learnt) > 0.5

    told = verdicts(world, prompts, learnt)

    two_errors = 2 * np.sqrt(0.025 * 0.975 / RUNS)
    assert told.count("IMPROVED") / RUNS <= 0.025 + two_errors
    assert told.count("WORSE") / RUNS <= 0.025 + two_errors


@pytest.mark.parametrize("prompts", [12, 24])
def test_a_true_gain_of_one_standard_deviation_is_found_in_90_percent(prompts: int) -> None:
    # The best template is worth one standard deviation of a reward more than the mean template.
    world = World(parts={"part": Params(NOTHING.theta, np.array([0.1, -0.05, -0.05]), NOTHING.eta)})
    best = Params(NOTHING.theta, np.array([1.0, 0.0, 0.0]), NOTHING.eta)
    gain = world.value_of(Params(NOTHING.theta, np.array([99.0, 0, 0]), NOTHING.eta))
    assert gain - world.value_of(NOTHING) == pytest.approx(world.noise)
    assert SPACE.T == 3

    told = verdicts(world, prompts, [best])

    assert told.count("IMPROVED") / RUNS >= 0.9
