"""Batches in flight: what is drawn when, by which policy, and who joins which update."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pytest

from orchestrator import advantages, update
from orchestrator.config import RunConfig
from orchestrator.dispatch import Observe, Results
from orchestrator.inputs import Inputs, prepare
from orchestrator.ledger import GroupJob, SlotResult
from orchestrator.pipeline import Pipeline
from orchestrator.preflight import preflight
from orchestrator.rollouts import Group, GroupKey, Weights
from orchestrator.run_plan import initial_weights
from shared.messages import Completion, Reward


class Arrivals:
    """In the dispatcher's place: groups end in an order of the test's choice."""

    def __init__(self, last: Collection[GroupKey] = ()) -> None:
        #: These end after all others that are in flight.
        self._last = set(last)
        self.begun: list[GroupKey] = []
        self._slots: dict[GroupKey, list[int]] = {}

    def begin(self, jobs: Sequence[GroupJob], deadline_s: float) -> None:
        for job in jobs:
            self.begun.append(job.key)
            self._slots[job.key] = [prompt.slot for prompt in job.generate.prompts]

    def gather(
        self, groups: Collection[GroupKey], count: int, observe: Observe
    ) -> dict[GroupKey, Results]:
        order = sorted(groups, key=lambda key: key in self._last)
        return {key: self._results(key) for key in order[:count]}

    def _results(self, key: GroupKey) -> Results:
        return {slot: _result(key, slot) for slot in self._slots[key]}


def _result(key: GroupKey, slot: int) -> SlotResult:
    value = float(np.random.default_rng([key.step, slot, sum(map(ord, key.group))]).random())
    completion = Completion(slot=slot, text="x", model="m", provider="p")
    return SlotResult(completion, Reward(slot=slot, value=value, parts={}, feedback=""), None)


def inputs(staleness: int, steps: int = 6, **more: int) -> Inputs:
    return prepare(
        RunConfig(max_staleness=staleness, max_steps=steps, batch_size=3, group_size=4, **more)
    )


def pipeline(found: Inputs, arrivals: Arrivals) -> Pipeline:
    return Pipeline(found, preflight(found.config), arrivals, "run")  # type: ignore[arg-type]


def learn(found: Inputs, arrivals: Arrivals, steps: int = 6) -> tuple[Weights, list[list[Group]]]:
    """Whole steps, as the loop does them."""
    weights, made, taken = initial_weights(found), pipeline(found, arrivals), []
    for step in range(1, steps + 1):
        finished = made.next(weights, step, lambda progress: None)
        fresh, _ = made.aged(finished, weights)
        scored = advantages.assign(fresh, found.config.algorithm)
        weights = update.step(weights, scored, found.config.algorithm, found.spaces).weights
        weights = replace(weights, ahead=made.ahead())
        taken.append(list(finished))
    return weights, taken


def test_without_staleness_every_group_of_a_step_joins_its_own_update() -> None:
    arrivals = Arrivals()
    weights, taken = learn(inputs(0), arrivals)

    assert [{group.step for group in step} for step in taken] == [{n} for n in range(1, 7)]
    assert [{group.policy_version for group in step} for step in taken] == [{n} for n in range(6)]
    assert weights.ahead == ()


@pytest.mark.parametrize("staleness", [1, 2, 4])
def test_batches_are_drawn_ahead_and_every_group_joins_one_update(staleness: int) -> None:
    arrivals = Arrivals()
    weights, taken = learn(inputs(staleness), arrivals)

    keys = [group.key for step in taken for group in step]
    assert len(keys) == len(set(keys)) == 6 * 3
    assert sorted(keys) == sorted(arrivals.begun)
    # In the order of drawing each batch is as many updates old as were in flight before it.
    ages = [step - 1 - taken[step - 1][0].policy_version for step in range(1, 7)]
    assert ages == [min(step - 1, staleness) for step in range(1, 7)]
    assert weights.ahead == ()


def test_a_straggler_holds_nobody_up_and_joins_a_later_update() -> None:
    found = inputs(2)
    slow = GroupKey(1, first_batch(found)[0])
    _, taken = learn(found, Arrivals(last=[slow]))

    joined = [step for step, groups in enumerate(taken, 1) if slow in {g.key for g in groups}]
    assert joined == [6], "when nothing else is in flight"
    assert all(len(groups) == 3 for groups in taken)


def first_batch(found: Inputs) -> list[str]:
    arrivals = Arrivals()
    pipeline(found, arrivals).next(initial_weights(found), 1, lambda progress: None)
    return [key.group for key in arrivals.begun if key.step == 1]


def test_what_came_too_late_for_its_policy_is_kept_apart() -> None:
    found = inputs(2)
    slow = GroupKey(1, first_batch(found)[0])
    arrivals = Arrivals(last=[slow])
    weights, taken = learn(found, arrivals)
    old = next(group for group in taken[-1] if group.key == slow)

    fresh, stale = pipeline(found, arrivals).aged(taken[-1], replace(weights, version=5))

    assert stale == (old,)
    assert len(fresh) == 2


def test_the_same_arrivals_give_the_same_policy_and_others_another() -> None:
    found = inputs(2)
    slow = [GroupKey(1, first_batch(found)[0])]

    def theta(last: Collection[GroupKey]) -> list[float]:
        weights, _ = learn(found, Arrivals(last))
        return [x for domain in weights.domains.values() for x in domain.params.theta.tolist()]

    assert theta(slow) == theta(slow)
    assert theta(slow) != theta([])


def test_what_was_in_flight_is_drawn_again_as_it_was() -> None:
    found = inputs(2)
    before = Arrivals()
    weights, _ = learn(found, before, steps=3)
    assert {ahead.step for ahead in weights.ahead} == {4, 5}

    # When another process takes the run up after step 3.
    after = Arrivals()
    resumed = pipeline(found, after)
    resumed.resume(weights, 4)

    assert after.begun == [key for key in before.begun if key.step in {4, 5}]
    goes_on = pipeline(found, before)
    goes_on.resume(weights, 4)
    assert resumed.ahead() == weights.ahead
    again = resumed.next(weights, 4, lambda progress: None)
    there = goes_on.next(weights, 4, lambda progress: None)
    assert again == there


def test_when_training_ends_early_what_is_in_flight_comes_to_its_end() -> None:
    found = inputs(2)
    arrivals = Arrivals()
    made, weights = pipeline(found, arrivals), initial_weights(found)
    made.next(weights, 1, lambda progress: None)

    rest = [made.next(weights, step, lambda progress: None, draw=False) for step in (2, 3)]

    assert [len(groups) for groups in rest] == [3, 3]
    assert made.ahead() == ()
    assert {key.step for key in arrivals.begun} == {1, 2, 3}


@pytest.mark.parametrize("staleness", [0, 2])
def test_small_first_steps_stay_small_whatever_is_in_flight(staleness: int) -> None:
    found = inputs(staleness, early_batch_size=1, early_rollouts=12)
    arrivals = Arrivals(last=[GroupKey(2, first_batch(found)[0])])

    _, taken = learn(found, arrivals)

    assert [len(groups) for groups in taken] == [1, 1, 1, 3, 3, 3]
    assert len({group.key for groups in taken for group in groups}) == 12
