"""Which prompts a step asks and with how many slots: no call where little is to be learnt."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from orchestrator import data, groups, policy, sampling
from orchestrator.config import RunConfig
from orchestrator.inputs import Inputs, prepare
from orchestrator.rollouts import Group, Params, Weights
from orchestrator.run_plan import initial_weights
from shared.errors import UsageError
from shared.messages import Reward


def inputs(**more: object) -> Inputs:
    return prepare(RunConfig.model_validate(more))


def weights_with(found: Inputs, spreads: dict[str, float]) -> Weights:
    return replace(initial_weights(found), spreads=spreads)


def rewarded(found: Inputs, example: str, values: list[float | None]) -> Group:
    """A group of one example with these rewards."""
    (one,) = (e for e in found.train if e.id == example)
    (group,) = groups.draw(
        found, found.train_domains, initial_weights(found), [(one.id, one)], 1, len(values)
    )
    rollouts = [
        rollout
        if value is None
        else replace(rollout, reward=Reward(slot=rollout.slot, value=value, parts={}, feedback=""))
        for rollout, value in zip(group.rollouts, values, strict=True)
    ]
    return replace(group, rollouts=tuple(rollouts))


def settled(found: Inputs) -> Weights:
    """A policy that has made up its mind in every domain."""
    start = initial_weights(found)
    domains = {}
    for name, domain in start.domains.items():
        ranks = [np.arange(len(part))[::-1] * 20.0 for part in vars(domain.params).values()]
        domains[name] = replace(domain, params=Params(*ranks))
    return replace(start, domains=domains)


def test_without_options_a_step_is_the_next_window_of_the_shuffled_data() -> None:
    found = inputs(seed=3)
    start = initial_weights(found)
    for step in (1, 2, 9):
        assert sampling.batch(found, start, step) == data.batch(found.train, 8 * (step - 1), 8, 3)


def test_prompts_are_drawn_by_the_spread_of_their_rewards_each_at_most_once() -> None:
    found = inputs(prompt_sampling="difficulty", batch_size=4)
    dull = {example.id for example in found.train[:32]}
    spreads = {example.id: 0.0 if example.id in dull else 0.2 for example in found.train}
    start = weights_with(found, spreads)

    drawn = [sampling.batch(found, start, step) for step in range(1, 201)]

    assert all(len({name for name, _ in batch}) == 4 for batch in drawn)
    counts = Counter(name in dull for batch in drawn for name, _ in batch)
    # Dull prompts have a twentieth of the others' weight each: LEAST_SHARE of the mean, 0.01.
    assert 10 < counts[True] < 80
    assert drawn[0] == sampling.batch(found, start, 1), "the same step draws the same prompts"


def test_a_prompt_of_which_nothing_is_known_counts_like_the_widest() -> None:
    found = inputs(prompt_sampling="difficulty", batch_size=1)
    known = {example.id: 0.001 for example in found.train[1:]} | {found.train[1].id: 0.5}
    start = weights_with(found, known)

    drawn = Counter(sampling.batch(found, start, step)[0][0] for step in range(1, 301))

    first, second = drawn[found.train[0].id], drawn[found.train[1].id]
    assert first > 80
    assert second > 80


def test_groups_without_signal_are_followed_by_prompts_that_the_step_has_not() -> None:
    found = inputs()
    names = [example.id for example in found.train]
    flat, lost = rewarded(found, names[0], [0.5, 0.5]), rewarded(found, names[1], [0.5, None])
    good = rewarded(found, names[2], [0.5, 0.6])
    asked = (flat, lost, good)

    count = sampling.without_signal(asked)
    spare = sampling.spare(found, initial_weights(found), 1, asked, count)

    assert count == len(spare) == 2
    assert not {name for name, _ in spare} & set(names[:3])


def test_when_every_prompt_is_in_the_step_none_follows() -> None:
    found = inputs()
    everything = [rewarded(found, example.id, [0.5, 0.5]) for example in found.train]
    assert sampling.spare(found, initial_weights(found), 1, everything, 5) == ()


def test_an_open_policy_gets_the_most_slots_and_a_settled_one_the_least() -> None:
    found = inputs(group_size=4, max_group_size=16)
    assert set(sampling.group_sizes(found, initial_weights(found)).values()) == {16}
    assert set(sampling.group_sizes(found, settled(found)).values()) == {4}
    assert set(sampling.group_sizes(inputs(group_size=4), initial_weights(found)).values()) == {4}


def test_spreads_are_remembered_by_prompt_whatever_the_order_and_not_without_two_rewards() -> None:
    found = inputs()
    one, two = found.train[0].id, found.train[1].id
    first = rewarded(found, one, [0.2, 0.4])
    start = initial_weights(found)

    noted = sampling.noted(start, [first, rewarded(found, two, [0.5, None])])
    again = sampling.noted(noted, [rewarded(found, one, [0.3, 0.3])])

    assert noted.spreads == {one: pytest.approx(0.1)}
    assert again.spreads == {one: pytest.approx(0.05)}
    both = [first, rewarded(found, two, [0.1, 0.9])]
    assert sampling.noted(start, both) == sampling.noted(start, both[::-1])


def test_actions_that_a_group_has_already_are_drawn_anew_with_their_exact_probability() -> None:
    kept, redrawn = inputs(), inputs(duplicate_actions="redraw")
    sharp = settled(kept)
    name = next(iter(sharp.domains))
    # Sharp, but not of one mind: a few actions have nearly all of the probability.
    domain = sharp.domains[name]
    params = Params(*(part / 10 for part in vars(domain.params).values()))
    weights = replace(sharp, domains={**sharp.domains, name: replace(domain, params=params)})
    one = next(e for e in kept.train if kept.train_domains[e.id] == name)
    batch = [(one.id, one)]

    (before,) = groups.draw(kept, kept.train_domains, weights, batch, 1, 16)
    (after,) = groups.draw(redrawn, redrawn.train_domains, weights, batch, 1, 16)

    def distinct(group: Group) -> int:
        return len({rollout.action for rollout in group.rollouts})

    assert distinct(before) < distinct(after)
    assert after.rollouts[0] == before.rollouts[0]
    actions = [rollout.action for rollout in after.rollouts]
    exact = policy.log_prob(params, redrawn.spaces[name], actions)
    assert [rollout.log_prob for rollout in after.rollouts] == pytest.approx(exact.tolist())


def test_a_policy_with_one_action_left_repeats_it_all_the_same() -> None:
    found = inputs(duplicate_actions="redraw")
    one = found.train[0]
    (group,) = groups.draw(found, found.train_domains, settled(found), [(one.id, one)], 1, 8)
    assert len({rollout.action for rollout in group.rollouts}) == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"group_size": 8, "max_group_size": 4}, "max_group_size = 4 is below group_size = 8"),
        ({"max_staleness": 1, "dynamic_sampling": 1}, "use one of them"),
        (
            {"max_staleness": 1, "algorithm": {"solver": "clipped"}},
            "'ppo_clip' is not sound; use cispo or gspo, or solver natural",
        ),
        (
            {"duplicate_actions": "redraw", "algorithm": {"solver": "clipped"}},
            "needs; keep them, or use solver natural",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises((UsageError, ValueError), match=words):
        RunConfig.model_validate(wrong)


def test_the_ceiling_counts_every_slot_that_a_step_may_have() -> None:
    assert RunConfig(batch_size=8, group_size=8).most_slots(8) == 64
    config = RunConfig(batch_size=8, group_size=8, max_group_size=16, dynamic_sampling=2)
    assert config.most_slots(8) == 8 * 3 * 16


def test_the_first_steps_are_small_and_every_prompt_has_its_turn_all_the_same() -> None:
    """Ten rollouts in steps of one prompt of four, then steps of three."""
    found = inputs(early_batch_size=1, early_rollouts=10, batch_size=3, group_size=4, seed=3)
    config, start = found.config, initial_weights(found)
    assert [config.prompts_of(step) for step in range(1, 6)] == [1, 1, 1, 3, 3]
    assert [config.prompts_before(step) for step in range(1, 6)] == [0, 1, 2, 3, 6]
    stream = data.batch(found.train, 0, 9, 3)
    asked = [one for step in range(1, 6) for one in sampling.batch(found, start, step)]
    assert [example for _, example in asked] == [example for _, example in stream]
    names = [name for name, _ in sampling.batch(found, start, 4)]
    assert sampling.named(found, 4, names) == sampling.batch(found, start, 4)
    chosen = replace(found, config=config.model_copy(update={"prompt_sampling": "difficulty"}))
    assert [len(sampling.batch(chosen, start, step)) for step in (3, 4)] == [1, 3]


@pytest.mark.parametrize(
    ("epochs", "prompts", "steps"), [(1, 2, 2), (1, 3, 3), (1, 4, 4), (1, 6, 4), (2, 5, 6)]
)
def test_passes_over_the_data_are_as_many_steps_as_they_need(
    epochs: int, prompts: int, steps: int
) -> None:
    config = RunConfig(
        num_epochs=epochs, early_batch_size=1, early_rollouts=10, batch_size=3, group_size=4
    )
    assert config.steps(prompts) == steps
    assert config.prompts_before(steps + 1) >= epochs * prompts > config.prompts_before(steps)


def test_first_steps_that_are_larger_than_the_others_are_refused() -> None:
    with pytest.raises(ValidationError, match="early_batch_size = 9 is above batch_size = 8"):
        RunConfig(early_batch_size=9)
