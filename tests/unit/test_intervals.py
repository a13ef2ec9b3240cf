"""Intervals: exact where they are known, and right as often as they say for few observations."""

import math

import numpy as np
import pytest

from orchestrator.intervals import ENOUGH_PROMPTS, mean_interval, t_below, t_quantile
from orchestrator.paired import Comparison, compare
from orchestrator.rollouts import FloatArray
from tests.benchmarks.intervals import LAWS, Law, held

RUNS = 200
#: Of a skewed law, 8 prompts often lack the tail.
SHOWN = [law for law in LAWS if "skewed" not in law.name]


def compared(gains: FloatArray) -> Comparison:
    """Prompts that had no reward before, and these after."""
    after = {f"e{at}": float(gain) for at, gain in enumerate(gains)}
    found = compare(dict.fromkeys(after, 0.0), after)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (7, 2.3646), (8, 2.3060), (23, 2.0687)]
)
def test_t_quantiles_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(quantile, abs=6e-5)
    assert t_below(quantile, freedom) == pytest.approx(0.975, abs=1e-5)


def test_the_interval_holds_the_mean() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.2, size=12)

    found = mean_interval(values)

    assert found.value == pytest.approx(values.mean())
    assert found.low < found.value < found.high


#: Gains, losses and ties of so many prompts, by so much each -> the interval and its verdict. The
#: ends of the one-sided cases are those of Clopper and Pearson's tables (P = 40: 0 of 40 is
#: [0, 0.0881], 1 of 40 ends at 0.1316).
OF_ONE_SIZE = {
    "39 of 40 gain": ((39, 0, 1), 1.0, (0.7926, 0.9994), "IMPROVED"),
    "39 of 40 lose": ((0, 39, 1), 1.0, (-0.9994, -0.7926), "WORSE"),
    "none of 40 differs": ((0, 0, 40), 1.0, (-0.0881, 0.0881), "NO EVIDENCE"),
    "all 40 gain": ((40, 0, 0), 1.0, (0.8238, 1.0), "IMPROVED"),
    "one of 40 differs": ((1, 0, 39), 1.0, (-0.0722, 0.1316), "NO EVIDENCE"),
    "three of 40 differ": ((3, 0, 37), 1.0, (-0.0394, 0.2039), "NO EVIDENCE"),
    "one of 40 differs by little": ((1, 0, 39), 0.01, (-0.0880, 0.0882), "NO EVIDENCE"),
    "six of 40 gain": ((6, 0, 34), 1.0, (0.0118, 0.2982), "IMPROVED"),
    "five of 40 gain": ((5, 0, 35), 1.0, (-0.0056, 0.2680), "NO EVIDENCE"),
    "13 to 4": ((13, 4, 0), 1.0, (0.0020, 0.8638), "IMPROVED"),
    "12 to 4": ((12, 4, 0), 1.0, (-0.0475, 0.8547), "NO EVIDENCE"),
    "all of 8 gain a tenth": ((8, 0, 0), 0.1, (0.0261, 0.1), "IMPROVED"),
    "two prompts": ((2, 0, 0), 1.0, (-0.6838, 1.0), "NO EVIDENCE"),
}


@pytest.mark.parametrize("case", OF_ONE_SIZE)
def test_wins_losses_and_ties_have_the_exact_interval(case: str) -> None:
    (wins, losses, ties), by, ends, verdict = OF_ONE_SIZE[case]
    values = by * np.array([1.0] * wins + [-1.0] * losses + [0.0] * ties)

    found = mean_interval(values)

    assert (found.low, found.high) == pytest.approx(ends, abs=2e-4)
    assert compared(values).verdict == verdict


@pytest.mark.parametrize(("wins", "losses"), [(6, 0), (5, 0), (9, 2), (8, 2), (17, 6), (40, 22)])
def test_wins_and_losses_are_told_apart_just_where_the_sign_test_does(
    wins: int, losses: int
) -> None:
    tosses = wins + losses
    by_chance = sum(math.comb(tosses, n) for n in range(wins, tosses + 1)) / 2**tosses
    values = np.array([1.0] * wins + [-1.0] * losses + [0.0] * 20)

    assert (mean_interval(values).low > 0) == (by_chance <= 0.025)


def test_gains_on_every_prompt_are_no_chance_where_most_are_alike() -> None:
    assert mean_interval(np.array([0.25] * 5 + [0.5, 0.5, 0.75])).low > 0.05
    assert mean_interval(np.array([0.5, 0.9, 0.68, 0.49, 0.25, 0.46, 0.46])).low > 0.3


def test_two_large_gains_among_many_that_are_none_are_no_evidence() -> None:
    small = np.random.default_rng(0).normal(0, 0.001, 98)

    assert compared(np.append(small, [1.0, 1.0])).verdict == "NO EVIDENCE"


def test_a_loss_among_gains_that_are_much_the_same_is_not_told_as_a_spread() -> None:
    found = mean_interval(np.array([-1.0] + [0.02] * 15 + [0.021] * 15))

    assert found.low < -0.1
    assert found.high < 0.15


@pytest.mark.parametrize("size", [2, 3, 8, 40, 500])
@pytest.mark.parametrize("law", ["ties", "levels", "spread"])
def test_no_interval_is_wider_than_what_differences_can_be(law: str, size: int) -> None:
    source = np.random.default_rng(size)
    for _ in range(5):
        values = {
            "ties": np.where(source.random(size) < 0.9, 0.0, 1.0),
            "levels": source.integers(-4, 5, size) / 4,
            "spread": source.uniform(-1, 1, size),
        }[law]

        found = mean_interval(values)

        assert -1 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("law", SHOWN, ids=lambda law: law.name)
@pytest.mark.parametrize("prompts", [8, 40])
def test_intervals_hold_the_truth_as_often_as_they_say(law: Law, prompts: int) -> None:
    found = held(law, prompts, RUNS)

    two_errors = 2 * np.sqrt(0.05 * 0.95 / RUNS)
    assert found.covered >= 0.93 - two_errors
    if law.gain == 0:
        assert max(found.improved, found.worse) <= 0.025 + two_errors / np.sqrt(2)


def test_too_few_prompts_have_no_verdict_however_large_the_gain() -> None:
    names = [f"e{i}" for i in range(ENOUGH_PROMPTS)]
    before = dict.fromkeys(names, 0.2)
    after = {name: 0.7 + 0.01 * i for i, name in enumerate(names)}

    enough = compare(before, after)
    few = compare(before, {name: after[name] for name in names[1:]})

    assert enough is not None
    assert few is not None
    assert (enough.verdict, few.verdict) == ("IMPROVED", "NO EVIDENCE")


def test_only_prompts_that_both_have_are_compared() -> None:
    found = compare({"a": 0.1, "b": 0.2, "c": 0.9}, {"b": 0.3, "a": 0.2, "d": 0.0})

    assert found is not None
    assert (found.prompts, found.wins, found.losses) == (2, 2, 0)
    assert found.gain == pytest.approx(0.1)
    assert compare({"a": 0.1}, {"a": 0.2}) is None
