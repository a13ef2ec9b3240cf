"""The reward as an instrument: known noise is measured, and effects need what they need."""

import math
from dataclasses import replace

import numpy as np
import pytest

from orchestrator import reliability
from orchestrator.rollouts import Action, Example, FloatArray, Group, Rollout
from shared.messages import Completion, Failure, FailureKind, Reward
from tests.simulated import DOMAIN, NOTHING

ACTION = Action((0, 1), 0, (0,))


def rollout(
    slot: int,
    value: float,
    words: int = 10,
    judged: tuple[float, ...] = (),
    rejudged: tuple[float, ...] = (),
    asked_again: int = 0,
) -> Rollout:
    reward = Reward(
        slot=slot,
        value=value,
        parts={},
        feedback="",
        judged=judged,
        rejudged=rejudged,
        asked_again=asked_again,
    )
    text = " ".join(["word"] * words)
    completion = Completion(slot=slot, text=text, model="m", provider="p")
    return Rollout(slot, ACTION, -1.0, completion, reward)


def group(number: int, rollouts: list[Rollout]) -> Group:
    return Group(f"e{number}", 1, Example(f"e{number}", "t"), DOMAIN, 0, NOTHING, tuple(rollouts))


def judged_twice(text_std: float, prompt_std: float, noise: float) -> list[Group]:
    source = np.random.default_rng(0)
    groups = []
    for number in range(80):
        ease = source.normal(0.5, prompt_std)
        true_G: FloatArray = source.normal(ease, text_std, size=8)
        first, second = (true_G + source.normal(scale=noise, size=8) for _ in range(2))
        groups.append(
            group(
                number,
                [
                    rollout(i, float(first[i]), judged=(float(first[i]),), rejudged=(second[i],))
                    for i in range(8)
                ],
            )
        )
    return groups


def test_a_judges_noise_and_reliability_are_what_the_pairs_were_made_with() -> None:
    found = reliability.judge_report(judged_twice(text_std=0.1, prompt_std=0.1, noise=0.1))

    assert found is not None
    assert found["pairs"] == 640
    assert found["judgements"] == 1280
    assert found["noise_std"] == pytest.approx(0.1, rel=0.05)
    assert found["reliability"]["low"] < 2 / 3 < found["reliability"]["high"]
    assert found["reliability_within_prompts"] == pytest.approx(0.5, abs=0.05)
    assert found["agreement"] is None


def test_two_judges_agree_as_far_as_they_see_the_same() -> None:
    source = np.random.default_rng(1)
    true_R = source.normal(0.5, 0.1, size=200)
    both = true_R[:, None] + source.normal(scale=0.05, size=(200, 2))
    rows = [rollout(i, 0.5, judged=tuple(pair)) for i, pair in enumerate(both.tolist())]

    found = reliability.judge_report([group(0, rows)])

    assert found is not None
    assert found["agreement"]["low"] < 0.8 < found["agreement"]["high"]
    assert found["noise_std"] is None


def test_answers_without_a_score_are_counted_at_first_and_in_the_end() -> None:
    failure = Failure(slot=3, kind=FailureKind.NO_SCORE, message="")
    rows = [rollout(i, 0.5, judged=(0.5,), asked_again=int(i == 0)) for i in range(3)]
    lost = replace(rollout(3, 0.0), reward=None, failure=failure)

    found = reliability.judge_report([group(0, [*rows, lost])])

    assert found is not None
    counts = (found["judgements"], found["without_score_at_first"], found["without_score"])
    assert counts == (4, 2, 1)
    assert found["parse_failure_rate"] == 0.5
    assert reliability.judge_report([group(0, [rollout(0, 0.5)])]) is None


def test_the_correlation_with_length_is_that_within_a_prompt() -> None:
    source = np.random.default_rng(2)
    groups = []
    for number in range(40):
        words = source.integers(20, 80, size=8).tolist()
        # Harder prompts have longer answers: that is no reward for length.
        rows = [
            rollout(i, 0.005 * n - 0.01 * number + source.normal(scale=0.1), n + 10 * number)
            for i, n in enumerate(words)
        ]
        groups.append(group(number, rows))
    expected = 0.005 * 17.3 / math.hypot(0.005 * 17.3, 0.1)

    found = reliability.length_correlation(groups)

    assert found is not None
    assert found["low"] < expected < found["high"]
    assert reliability.length_correlation(groups[:1]) is None


def test_half_the_effect_needs_four_times_the_rollouts_and_that_many_show_it() -> None:
    needed = reliability.rollouts_needed(0.05, 0.1)
    assert reliability.rollouts_needed(0.025, 0.1) == pytest.approx(4 * needed, rel=0.01)

    source = np.random.default_rng(3)
    half = needed // 2
    found = 0
    for _ in range(2000):
        on, off = source.normal(0.05, 0.1, size=half), source.normal(0.0, 0.1, size=half)
        error = math.sqrt((on.var(ddof=1) + off.var(ddof=1)) / half)
        found += abs(on.mean() - off.mean()) / error > 1.96
    assert found / 2000 == pytest.approx(reliability.POWER, abs=0.04)


def test_slots_that_repeat_an_action_say_what_noise_is() -> None:
    source = np.random.default_rng(4)
    groups = [
        group(n, [rollout(i, source.normal(n / 100, 0.07)) for i in range(8)]) for n in range(60)
    ]

    repeated = reliability.measure(groups, batch_size=8, residual_std=0.5)
    alone = reliability.measure([], batch_size=8, residual_std=0.5)

    assert repeated["noise_std"] == pytest.approx(0.07, rel=0.1)
    assert (repeated["noise_from"], alone["noise_from"]) == ("repeated actions", "residual")
    sizes = [row["group_size"] for row in repeated["needed"]]
    assert sizes == sorted(sizes, reverse=True)
