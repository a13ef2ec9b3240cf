"""How often one of two is preferred: the interval against published values and simulated judges."""

import itertools

import numpy as np
import pytest

from orchestrator.comparison.preference import Pair, Preference, preference, wilson

A, B, TIE = Pair(1.0, 1.0), Pair(0.0, 0.0), Pair(0.5, 0.5)


def judged(prompts: list[list[Pair]]) -> Preference:
    found = preference(prompts)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 4.
    [(81, 263, 0.2535, 0.3682), (15, 148, 0.0598, 0.1644), (0, 20, 0, 0.2005),
     (1, 29, 0.0018, 0.1963)],
)  # fmt: skip
def test_the_interval_is_the_published_one(wins: int, n: int, low: float, high: float) -> None:
    found = wilson(wins / n, n)

    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_a_pair_is_won_only_in_both_orders_and_every_other_is_a_tie() -> None:
    scores = {pair: Pair(*pair).score for pair in itertools.product((1.0, 0.5, 0.0), repeat=2)}

    assert [pair for pair, score in scores.items() if score == 1] == [(1.0, 1.0)]
    assert [pair for pair, score in scores.items() if score == 0] == [(0.0, 0.0)]
    assert {score for score in scores.values()} == {0.0, 0.5, 1.0}
    assert [pair for pair in scores if Pair(*pair).flipped] == [(1.0, 0.0), (0.0, 1.0)]


def test_prompts_are_counted_and_ties_count_half() -> None:
    found = judged([[A]] * 21 + [[B]] * 11 + [[TIE]] * 8)

    assert (found.prompts, found.a, found.b, found.ties) == (40, 21, 11, 8)
    assert found.share == (21 + 4) / 40
    assert found.low < 0.5 < found.share < found.high
    assert found.verdict == "INCONCLUSIVE"


def test_several_pairs_of_one_prompt_are_one_observation_if_they_always_agree() -> None:
    once, often = judged([[A]] * 14 + [[B]] * 6), judged([[A] * 5] * 14 + [[B] * 5] * 6)

    assert (once.low, once.high) == (often.low, often.high)


def test_several_pairs_of_one_prompt_count_for_more_if_they_differ() -> None:
    once, often = judged([[A]] * 14 + [[B]] * 6), judged([[A, A, A, B]] * 14 + [[A, A, B, B]] * 6)

    assert often.high - often.low < once.high - once.low


def test_ties_make_the_interval_narrower_than_throws_of_a_coin() -> None:
    tied, thrown = judged([[A]] * 12 + [[TIE]] * 16), judged([[A]] * 20 + [[B]] * 8)

    assert tied.share == thrown.share
    assert tied.high - tied.low < thrown.high - thrown.low


def test_swapping_a_and_b_mirrors_the_result() -> None:
    one, other = judged([[A]] * 11 + [[B]] + [[TIE]]), judged([[B]] * 11 + [[A]] + [[TIE]])

    assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low))
    assert (one.verdict, other.verdict) == ("A PREFERRED", "B PREFERRED")


def test_few_prompts_do_not_become_many_by_pairs_that_happen_to_agree() -> None:
    """Each prompt is one side's by 9 to 1, whichever: two of four times both are the same's."""
    found = judged([[A] * 9 + [B]] * 2)

    assert found.verdict == "INCONCLUSIVE"
    assert found.needed


@pytest.mark.parametrize(("prompts", "verdict"), [(5, "INCONCLUSIVE"), (6, "A PREFERRED")])
def test_five_prompts_in_a_row_may_be_chance_and_six_are_not(prompts: int, verdict: str) -> None:
    assert judged([[A]] * prompts).verdict == verdict


def test_so_many_more_prompts_of_the_same_kind_would_decide() -> None:
    few = [[A]] * 6 + [[B]] * 4
    found = judged(few)
    assert found.needed is not None

    times = (10 + found.needed) / 10
    assert not wilson(0.6, 10 * times).low <= 0.5
    assert wilson(0.6, 10 * times - 1).low <= 0.5
    assert judged([[A]] * 60).needed == 0
    assert judged([[A]] * 5 + [[B]] * 5).needed is None
    assert judged([[TIE]] * 5).needed is None
    assert preference([]) is None


@pytest.mark.parametrize("prompts", [8, 40])
@pytest.mark.parametrize("pairs", [1, 4])
@pytest.mark.parametrize(("truth", "ties"), [(0.5, 0.3), (0.75, 0.0), (0.9, 0.3)])
def test_the_interval_holds_the_truth_in_95_percent_of_simulated_comparisons(
    prompts: int, pairs: int, truth: float, ties: float
) -> None:
    source, runs = np.random.default_rng(prompts * pairs), 150
    held = 0
    for _ in range(runs):
        # Prompts differ in how often A is better.
        p_P = source.beta(4 * truth, 4 * (1 - truth), prompts)
        won_PK = source.random((prompts, pairs)) < p_P[:, None]
        tied_PK = source.random((prompts, pairs)) < ties
        found = judged(
            [
                [TIE if tied else A if won else B for won, tied in zip(*row, strict=True)]
                for row in zip(won_PK, tied_PK, strict=True)
            ]
        )
        held += found.low <= ties / 2 + (1 - ties) * truth <= found.high

    assert held / runs >= 0.95 - 2 * (0.95 * 0.05 / runs) ** 0.5


@pytest.mark.parametrize("ties", [0.0, 0.4])
@pytest.mark.parametrize("prompts", [6, 12, 40])
def test_without_a_difference_one_is_preferred_in_at_most_2_5_percent_a_side(
    prompts: int, ties: float
) -> None:
    source, runs = np.random.default_rng(prompts), 300
    kinds, shares = (A, TIE, B), [(1 - ties) / 2, ties, (1 - ties) / 2]
    verdicts = [
        judged([[kinds[each]] for each in source.choice(3, prompts, p=shares)]).verdict
        for _ in range(runs)
    ]

    for side in ("A PREFERRED", "B PREFERRED"):
        assert verdicts.count(side) / runs <= 0.025 + 2 * (0.025 * 0.975 / runs) ** 0.5
