"""The learning benchmark measures what it says: fractions, crossings, worlds as described."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from orchestrator.config import RunConfig
from orchestrator.rollouts import Action
from orchestrator.space import Space
from tests.benchmarks.learning import plot, table, tpe, tuning
from tests.benchmarks.learning.environments import environment
from tests.benchmarks.learning.learner import Answers, Batches, Curve, Recipe, learn
from tests.benchmarks.learning.learners import BATCHES, LEARNERS
from tests.benchmarks.learning.search import CrossEntropy, CrossEntropyKnobs, RandomSearch
from tests.benchmarks.learning.tpe import Tpe, TpeKnobs
from tests.benchmarks.learning.world import every_action, uniform_law


class Oracle(RandomSearch):
    """Deploys the best action of its world from the start."""

    answer: Action

    def deployed(self) -> Action:
        return self.answer


@pytest.mark.parametrize("name", ["E1", "E2", "E4"])
def test_best_and_start_are_those_of_all_actions(name: str) -> None:
    (world,) = environment(name, 3).worlds
    actions = list(every_action(world.space))
    value_A = world.value(actions)
    assert world.best == pytest.approx(value_A.max())
    assert world.start == pytest.approx(uniform_law(world.space, actions) @ value_A)
    assert uniform_law(world.space, actions).sum() == pytest.approx(1)


def test_the_sparse_worlds_best_and_start_agree_with_what_it_answers() -> None:
    (world,) = environment("E3", 3).worlds
    drawn = RandomSearch(world.space, 1).ask(0, range(400))
    value_A = world.value([action for actions in drawn for action in actions])
    assert value_A.mean() == pytest.approx(world.start, abs=0.03)
    assert value_A.max() < world.best


def test_rewards_are_the_value_the_offset_and_noise() -> None:
    (world,) = environment("E1", 3).worlds
    action = next(every_action(world.space))
    rewards = world.reward(5, [action] * 4000, np.random.default_rng(1))
    expected = float(world.value([action])[0]) + world.offset(5)
    assert rewards.mean() == pytest.approx(expected, abs=0.05)
    assert rewards.std() == pytest.approx(0.5, abs=0.05)
    assert len({world.offset(prompt) for prompt in range(64)}) == 64


def variance(name: str) -> float:
    (world,) = environment(name, 4).worlds
    actions = list(every_action(world.space))
    law_R, value_R = uniform_law(world.space, actions), world.value(actions)
    return float(law_R @ (value_R - law_R @ value_R) ** 2)


def test_the_interactions_are_as_strong_as_the_main_effects() -> None:
    """Two parts of variance 1, whose covariance is small."""
    assert variance("E1") == pytest.approx(1.0)
    assert 1.5 < variance("E2") < 2.5


def test_the_best_action_is_worth_one_and_the_start_nothing() -> None:
    place = environment("E1", 3)
    (world,) = place.worlds
    actions = list(every_action(world.space))
    answer = actions[int(np.argmax(world.value(actions)))]

    def make(space: Space, seed: int) -> Oracle:
        oracle = Oracle(space, seed)
        oracle.answer = answer
        return oracle

    curve = learn(Recipe(make, Batches(8, few=2)), place, 0, 320, (64,))
    assert curve.calls_C[:3] == [0, 16, 32]
    assert curve.calls_C[-1] == 320
    assert curve.deployed_C[0] == 0
    assert curve.deployed_C[1:] == pytest.approx([1.0] * (len(curve.calls_C) - 1))
    assert curve.explored == {64: None}


def test_a_learner_that_learns_ends_higher_than_the_uniform_policy() -> None:
    curve = learn(LEARNERS["natural"].recipe, environment("E1", 1001), 1001, 128, (64, 128))
    assert curve.deployed_C[-1] > 0.8
    first, last = curve.explored[64], curve.explored[128]
    assert first is not None
    assert last is not None
    assert 0.2 < first < last


def test_calls_to_the_target_lie_on_the_line_between_two_updates() -> None:
    assert table.crossing([0, 64, 128], np.array([0.0, 0.8, 1.0])) == pytest.approx(96)
    assert table.crossing([0, 64, 128], np.array([0.0, 0.8, 0.89])) is None


def test_an_interval_is_students() -> None:
    found = table.estimate(np.array([1.0, 2.0, 3.0]))
    assert found.mean == 2.0
    assert found.half == pytest.approx(4.30 / math.sqrt(3))
    assert table.estimate(np.array([1.0])).half == math.inf


def test_the_table_and_the_plot_name_every_learner_and_say_never() -> None:
    curve = Curve([0, 64], [0.0, 0.5], {64: None})
    rows = [table.row("E1", name, [curve, curve]) for name in ("tpe", "random")]
    labels = {"tpe": "T & P", "random": "random"}
    text = table.text(rows, labels)
    assert "| T & P | never | 0.500 ±0.000 |" in text
    assert "T &amp; P" in plot.svg(rows, labels)


def test_every_learners_chosen_setting_is_one_of_its_settings() -> None:
    assert [name for name, entry in LEARNERS.items() if entry.chosen not in entry.settings] == []


def test_tpe_with_its_past_in_arrays_suggests_what_optunas_own_sampler_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optuna = pytest.importorskip("optuna")
    knobs = TpeKnobs(calls_per_action=2, multivariate=True, good=0.25)
    with monkeypatch.context() as patch:
        patch.setattr(tpe, "remembering", lambda learner: optuna.samplers.TPESampler)
        theirs = suggested(knobs)
    assert suggested(knobs) == theirs


@pytest.mark.parametrize("trials", [0, 1, 60])
def test_one_parameters_mixture_is_optunas(trials: int) -> None:
    """The same law and the same draws; ties of the ratio alone are broken by other roundings."""
    sampler = pytest.importorskip("optuna.samplers._tpe.sampler")
    optuna = pytest.importorskip("optuna")
    seen = np.random.default_rng(5).integers(7, size=trials)
    space = {"it": optuna.distributions.CategoricalDistribution(range(7))}
    knobs = optuna.samplers.TPESampler()._parzen_estimator_parameters
    theirs = sampler._ParzenEstimator({"it": seen}, space, knobs)
    ours = tpe.Mixture.of(seen, 7, sampler.default_weights)
    law_c = np.exp(theirs.log_pdf({"it": np.arange(7)}))
    assert ours.law_c == pytest.approx(law_c, rel=1e-12)
    drawn = theirs.sample(np.random.RandomState(3), 50)["it"]
    assert ours.drawn(np.random.RandomState(3), 50).tolist() == drawn.tolist()


def suggested(knobs: TpeKnobs) -> Sequence[Mapping[str, int]]:
    made: list[Tpe] = []

    def make(space: Space, seed: int) -> Tpe:
        made.append(Tpe(knobs, space, seed))
        return made[-1]

    learn(Recipe(make, Batches(1, few=1)), environment("E1", 3), 3, 120, ())
    return made[0].past


def test_an_elite_over_a_window_holds_earlier_calls() -> None:
    (world,) = environment("E1", 3).worlds
    first, second = list(every_action(world.space))[:2]
    learner = CrossEntropy(CrossEntropyKnobs(elite=0.25, rate=1.0, window=16), world.space, 0)
    for action, reward in ((first, 1.0), (second, 0.0)):
        rewards_G = np.full(8, reward)
        learner.tell(0, [Answers(0, (action,) * 8, rewards_G, 0.0)])
    assert learner.deployed().concepts == first.concepts


def test_the_best_of_the_first_round_are_scored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(name: str, setting: str, place: str, seed: int) -> float:
        return float("rate=0.6" in setting) + (seed == tuning.FIRST_SEED + 7) * len(setting)

    monkeypatch.setattr(tuning, "_score", score)
    first, second = tuning.raced("cem", 2, ["E1", "E5"])
    assert len(first) == len(LEARNERS["cem"].settings)
    assert len(second) == tuning.FINALISTS
    assert all("rate=0.6" in setting for setting in second)
    assert set(first.values()) == {0.0, 1.0}
    assert max(second.values()) > 1.0


@pytest.mark.parametrize("size", ["8", "16", "64"])
def test_the_benchmarks_steps_are_those_of_a_run(size: str) -> None:
    """``early_batch_size`` as a run has it."""
    config = RunConfig(early_batch_size=int(size) // 8)
    batches = BATCHES[size]
    for step in range(1, 50):
        calls = config.prompts_before(step) * config.group_size
        assert batches.at(calls) == config.prompts_of(step)
