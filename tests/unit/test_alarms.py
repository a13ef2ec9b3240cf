"""Alarms: raised by what they are for, once, and by nothing else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orchestrator.alarms import Alarm, Alarms
from orchestrator.config import RunConfig
from orchestrator.evaluation import Evaluation, Kind
from orchestrator.inputs import Inputs, prepare
from orchestrator.rollouts import Action, Example, Group, Params, Rollout
from shared.messages import Failure, FailureKind, Reward

PROMPTS = 12
DOMAIN = "quantum computing"


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return prepare(RunConfig(reward_funcs=("quality",)))


def evaluation(step: int, level: float, kind: Kind = "interval") -> Evaluation:
    noise = np.random.default_rng(step).normal(scale=0.02, size=PROMPTS)
    rewards = {f"h{i}": float(level + noise[i]) for i in range(PROMPTS)}
    return Evaluation(kind, step, step, rewards, {}, 0, ())


def metrics(reward: float = 0.5, words: float | None = 50.0) -> dict[str, float | int | None]:
    return {"reward": reward, "completion_words": words}


def group(inputs: Inputs, *sharp: float) -> Group:
    """A group acted by a policy with these logits on its first concepts."""
    space = inputs.spaces[DOMAIN]
    theta = np.zeros(space.n)
    theta[: len(sharp)] = sharp
    acted = Params(theta, np.zeros(space.T), np.zeros(space.m))
    return Group("e1", 1, Example("e1", "text"), DOMAIN, 1, acted, ())


def trained(alarms: Alarms, rewards: list[float], words: list[float]) -> list[Alarm]:
    told = []
    for step, (reward, length) in enumerate(zip(rewards, words, strict=True), 1):
        told += alarms.stepped(step, metrics(reward, length), ())
    return told


def test_held_out_falling_while_the_reward_rises_is_told_once(inputs: Inputs) -> None:
    alarms = Alarms(inputs, evaluations=[evaluation(0, 0.5, "initial")])
    trained(alarms, [0.5] * 5, [50.0] * 5)
    assert alarms.evaluated(evaluation(5, 0.7)) == []
    trained(alarms, [0.5] * 6 + [0.8] * 9, [50.0] * 15)

    (alarm,) = alarms.evaluated(evaluation(10, 0.6))
    again = alarms.evaluated(evaluation(15, 0.55))

    assert (alarm.kind, alarm.step) == ("overfit", 10)
    assert "fell since step 5" in alarm.words
    assert again == []


def test_a_fall_of_both_or_within_the_noise_is_no_alarm(inputs: Inputs) -> None:
    both = Alarms(inputs, evaluations=[evaluation(0, 0.7, "initial")])
    trained(both, [0.8] * 5 + [0.5] * 5, [50.0] * 10)
    noise = Alarms(inputs, evaluations=[evaluation(0, 0.6, "initial")])
    trained(noise, [0.5] * 5 + [0.8] * 5, [50.0] * 10)

    assert both.evaluated(evaluation(10, 0.5)) == []
    assert noise.evaluated(evaluation(10, 0.598)) == []


def test_growing_completions_are_told_once(inputs: Inputs) -> None:
    steady = trained(Alarms(inputs), [0.5] * 10, [50.0 + i for i in range(10)])
    growing = trained(Alarms(inputs), [0.5] * 10, [50.0 + 10 * i for i in range(10)])

    assert steady == []
    (alarm,) = growing
    assert alarm.kind == "length"
    assert "times as long as at the start (60 ->" in alarm.words


def test_where_the_length_is_rewarded_it_must_grow_more(inputs: Inputs) -> None:
    asked = prepare(RunConfig(reward_funcs=("quality", "length")))
    words = [50.0] * 3 + [100.0] * 3

    assert trained(Alarms(asked), [0.5] * 6, words) == []
    assert len(trained(Alarms(inputs), [0.5] * 6, words)) == 1


def test_one_concept_in_every_prompt_is_told_when_it_lasts(inputs: Inputs) -> None:
    alarms = Alarms(inputs)
    alone = [group(inputs, 12.0)]

    told = [alarms.stepped(step, metrics(), alone) for step in range(1, 6)]

    assert [len(each) for each in told] == [0, 0, 1, 0, 0]
    assert told[2][0].kind == "one_concept"
    assert repr(inputs.domains[DOMAIN].concepts[0]) in told[2][0].words


def test_a_policy_that_has_decided_on_all_its_concepts_is_no_alarm(inputs: Inputs) -> None:
    alarms = Alarms(inputs)
    decided = [group(inputs, 12.0, 12.0)]

    assert [alarms.stepped(step, metrics(), decided) for step in range(1, 6)] == [[]] * 5


def test_a_resumed_run_remembers_levels_and_what_was_told(inputs: Inputs) -> None:
    rows: list[dict[str, Any]] = [{"step": s, "reward": 0.5, **metrics()} for s in (1, 2, 3)]
    told = {"step": 3, "alarm": "overfit", "words": "said before"}

    fresh = trained_on(Alarms(inputs, rows), 120.0)
    resumed = Alarms(inputs, [*rows, told], [evaluation(0, 0.9, "initial")])

    assert [alarm.kind for alarm in fresh] == ["length"]
    assert resumed.told == [Alarm(3, "overfit", "said before")]
    for step in range(4, 13):
        resumed.stepped(step, metrics(reward=0.5 + 0.03 * step), ())
    assert resumed.evaluated(evaluation(12, 0.5)) == []


def trained_on(alarms: Alarms, words: float) -> list[Alarm]:
    return [alarm for step in (4, 5, 6) for alarm in alarms.stepped(step, metrics(0.5, words), ())]


def rewarded(name: str, *rewards: float, domain: str = DOMAIN) -> Group:
    """A group whose slots were paid so."""
    action = Action((0, 1), 0, ())
    rollouts = tuple(
        Rollout(i, action, 0.0, reward=Reward(slot=i, value=value, parts={}, feedback=""))
        for i, value in enumerate(rewards)
    )
    acted = Params(np.zeros(5), np.zeros(5), np.zeros(0))
    return Group(name, 1, Example(name, "text"), domain, 1, acted, rollouts)


def no_difference(alarms: Alarms, step: int, *groups: Group) -> list[str]:
    told = alarms.stepped(step, metrics(), groups)
    return [alarm.words for alarm in told if alarm.kind == "no_difference"]


@pytest.mark.parametrize(("value", "words"), [(0.0, "0.000"), (1.0, "1.000"), (0.1, "0.100")])
def test_rewards_that_are_all_the_same_are_told_as_soon_as_they_are_many(
    inputs: Inputs, value: float, words: str
) -> None:
    alarms = Alarms(inputs)

    assert no_difference(alarms, 1, *(rewarded(f"e{i}", *[value] * 8) for i in range(3))) == []
    (told,) = no_difference(alarms, 2, *(rewarded(f"e{i}", *[value] * 8) for i in range(3)))
    assert f"{DOMAIN}: every one of 48 rewards was {words}" in told
    assert no_difference(alarms, 3, *(rewarded(f"e{i}", *[value] * 8) for i in range(9))) == []


def test_rewards_that_differ_between_prompts_alone_are_told_as_such(inputs: Inputs) -> None:
    groups = [rewarded(f"e{i}", *[float(i % 2)] * 8) for i in range(6)]

    (told,) = no_difference(Alarms(inputs), 1, *groups)

    assert "within each prompt all rewards were equal (48 rewards from 0.000 to 1.000)" in told


def test_rounding_is_no_difference(inputs: Inputs) -> None:
    groups = [rewarded(f"e{i}", 0.3, 0.1 + 0.2, *[0.3] * 6) for i in range(6)]

    (told,) = no_difference(Alarms(inputs), 1, *groups)

    assert "every one of 48 rewards was 0.300" in told


def test_one_difference_is_enough_and_each_domain_is_looked_at_by_itself(inputs: Inputs) -> None:
    other = next(name for name in inputs.domains if name != DOMAIN)
    groups = [rewarded(f"e{i}", *[0.0] * 8) for i in range(6)]
    differ = [rewarded("e9", *[0.0] * 7, 1.0, domain=other)]
    more = [rewarded(f"f{i}", *[0.0] * 8, domain=other) for i in range(6)]

    (told,) = no_difference(Alarms(inputs), 1, *groups, *differ, *more)

    assert told.startswith(DOMAIN)


def test_a_run_that_goes_on_does_not_take_what_it_has_learnt_for_no_difference(
    inputs: Inputs,
) -> None:
    alarms = Alarms(inputs, rows=[{"step": 1, "reward": 0.4}])

    assert no_difference(alarms, 2, *(rewarded(f"e{i}", *[1.0] * 8) for i in range(9))) == []


def test_many_prompts_that_match_nothing_are_told_once(inputs: Inputs) -> None:
    lost = tuple(Example(f"u{n}", "Bake bread") for n in range(20))
    few, many = (Alarms(replace(inputs, unmatched=lost[:count])) for count in (5, 20))

    told = trained(many, [0.5] * 3, [50.0] * 3)

    assert [(alarm.kind, alarm.step) for alarm in told] == [("unmatched", 1)]
    assert "20 of 108 prompts (19%) match no domain: give them a 'domain' field" in told[0].words
    assert trained(few, [0.5] * 3, [50.0] * 3) == []


def judged(inputs: Inputs, *scores: float) -> Group:
    rollouts = tuple(
        Rollout(slot, Action((0,), 0, ()), 0.0, reward=Reward(
            slot=slot, value=score, parts={"judge": score}, feedback="", judged=(score,)))
        for slot, score in enumerate(scores)
    )  # fmt: skip
    return replace(group(inputs), rollouts=rollouts)


def test_scores_that_all_miss_their_scale_are_told_once(inputs: Inputs) -> None:
    alarms, told = Alarms(inputs), []
    for step in range(1, 5):
        told += alarms.stepped(step, metrics(), [judged(inputs, *[0.04, 0.07] * 4)])

    (alarm,) = [one for one in told if one.kind == "score_scale"]
    assert alarm.step == 2
    assert "none of 16 judge's scores is above 0.7 of 10" in alarm.words


@pytest.mark.parametrize("high", [0.0, 0.2, 1.0])
def test_scores_on_their_scale_raise_no_alarm(inputs: Inputs, high: float) -> None:
    alarms = Alarms(inputs)
    lowest = 0.0 if high == 0 else 0.05
    told = alarms.stepped(1, metrics(), [judged(inputs, *[lowest] * 15, high, high)])
    assert "score_scale" not in {alarm.kind for alarm in told}


def ended(inputs: Inputs, rewarded: int, failed: int, why: str = "ValueError: no three") -> Group:
    scored = judged(inputs, *[0.5, 0.9] * (rewarded // 2)).rollouts
    broken = tuple(
        Rollout(slot, Action((0,), 0, ()), 0.0, failure=Failure(
            slot=slot, kind=FailureKind.REWARD_ERROR, message=why))
        for slot in range(rewarded, rewarded + failed)
    )  # fmt: skip
    return replace(group(inputs), rollouts=(*scored, *broken))


def test_many_rollouts_without_a_reward_are_told_once_with_the_commonest_cause(
    inputs: Inputs,
) -> None:
    alarms, told = Alarms(inputs), []
    for step in range(1, 5):
        told += alarms.stepped(step, metrics(), [ended(inputs, 12, 4), ended(inputs, 6, 1, "x")])

    (alarm,) = [one for one in told if one.kind == "missing"]
    assert alarm.step == 2
    assert "10 of 46 rollouts ended without a reward, 8 of them with reward_error:" in alarm.words
    assert "ValueError: no three: the policy learns from the others alone" in alarm.words


def test_failures_that_begin_late_are_told_too(inputs: Inputs) -> None:
    alarms = Alarms(inputs)
    sound = [one for step in range(1, 40) for one in alarms.stepped(
        step, metrics(), [ended(inputs, 32, 0)])]  # fmt: skip
    assert "missing" not in {one.kind for one in sound}
    assert "missing" in {a.kind for a in alarms.stepped(40, metrics(), [ended(inputs, 28, 4)])}


def test_held_out_rollouts_without_a_reward_are_told_at_the_end(inputs: Inputs) -> None:
    final = replace(evaluation(3, 0.5, "final"), groups=(ended(inputs, 20, 20),), failed=20)
    (alarm,) = Alarms(inputs).evaluated(final)
    assert (alarm.kind, alarm.step) == ("missing", 3)


def test_a_tenth_without_a_reward_is_no_alarm(inputs: Inputs) -> None:
    told = Alarms(inputs).stepped(1, metrics(), [ended(inputs, 36, 4)])
    assert "missing" not in {one.kind for one in told}
