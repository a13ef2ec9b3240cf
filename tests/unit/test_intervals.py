"""Intervals: exact where they are known, and right as often as they say for few observations."""

from collections.abc import Callable

import numpy as np
import pytest

from orchestrator.intervals import mean_interval, t_below, t_quantile
from orchestrator.paired import ENOUGH_PROMPTS, compare
from orchestrator.rollouts import FloatArray

Law = Callable[[np.random.Generator, int], FloatArray]
#: Laws of mean 0: what differences of two evaluations may look like when nothing has changed.
LAWS: dict[str, Law] = {
    "normal": lambda source, size: source.normal(size=size),
    "heavy tails": lambda source, size: source.standard_t(3, size=size),
    "mostly ties": lambda source, size: np.where(
        source.random(size) < 0.6, 0.0, source.normal(size=size)
    ),
    "three values": lambda source, size: source.integers(-1, 2, size=size).astype(np.float64),
}
RUNS = 400


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (7, 2.3646), (8, 2.3060), (23, 2.0687)]
)
def test_t_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(quantile, abs=6e-5)
    assert t_below(quantile, freedom) == pytest.approx(0.975, abs=1e-5)


def test_the_interval_holds_the_mean_and_is_the_same_for_the_same_seed() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.2, size=12)

    once, again = mean_interval(values, 3), mean_interval(values, 3)

    assert once == again
    assert once.value == pytest.approx(values.mean())
    assert once.low < once.value < once.high


def test_equal_values_have_an_interval_without_width() -> None:
    assert mean_interval(np.full(8, 0.1), 0) == pytest.approx((0.1, 0.1, 0.1))


@pytest.mark.parametrize("prompts", [8, 24])
@pytest.mark.parametrize("law", LAWS)
def test_chance_is_called_an_improvement_in_at_most_2_5_percent(law: str, prompts: int) -> None:
    source = np.random.default_rng(prompts)
    names = [f"e{i}" for i in range(prompts)]
    zeros = dict.fromkeys(names, 0.0)

    verdicts = []
    for run in range(RUNS):
        gains = 0.05 * LAWS[law](source, prompts)
        found = compare(zeros, dict(zip(names, gains.tolist(), strict=True)), run)
        assert found is not None
        verdicts.append(found.verdict)

    two_errors = 2 * np.sqrt(0.025 * 0.975 / RUNS)
    assert verdicts.count("IMPROVED") / RUNS <= 0.025 + two_errors
    assert verdicts.count("WORSE") / RUNS <= 0.025 + two_errors


def test_too_few_prompts_have_no_verdict_however_large_the_gain() -> None:
    names = [f"e{i}" for i in range(ENOUGH_PROMPTS)]
    before = dict.fromkeys(names, 0.2)
    after = {name: 0.7 + 0.01 * i for i, name in enumerate(names)}

    enough = compare(before, after, 0)
    few = compare(before, {name: after[name] for name in names[1:]}, 0)

    assert enough is not None
    assert few is not None
    assert (enough.verdict, few.verdict) == ("IMPROVED", "NO EVIDENCE")


def test_only_prompts_that_both_have_are_compared() -> None:
    found = compare({"a": 0.1, "b": 0.2, "c": 0.9}, {"b": 0.3, "a": 0.2, "d": 0.0}, 0)

    assert found is not None
    assert (found.prompts, found.wins, found.losses) == (2, 2, 0)
    assert found.gain == pytest.approx(0.1)
    assert compare({"a": 0.1}, {"a": 0.2}, 0) is None
