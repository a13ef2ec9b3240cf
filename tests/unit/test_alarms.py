"""Alarms: raised by what they are for, once, and by nothing else."""

from typing import Any

import numpy as np
import pytest

from orchestrator.alarms import Alarm, Alarms
from orchestrator.config import RunConfig
from orchestrator.evaluation import Evaluation, Kind
from orchestrator.inputs import Inputs, prepare
from orchestrator.rollouts import Example, Group, Params

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
