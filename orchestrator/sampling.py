"""Which prompts a step asks, and with how many slots: no call where little is to be learnt.

- ``prompt_sampling = difficulty``: a prompt is drawn with probability in proportion to the spread
  that its rewards have had, since a group whose rewards are equal teaches nothing. Without
  replacement, by the largest log(u) / weight (Efraimidis & Spirakis 2006).
- ``dynamic_sampling``: groups without signal are followed by groups of other prompts (DAPO, Yu et
  al. 2025); unlike there they stay in the batch, for equal rewards of different actions are
  evidence too.
- ``max_group_size``: a domain whose policy is still open gets more slots per prompt than one whose
  policy is settled, by the share of its largest entropy that is left.

Pure; random numbers depend on (seed, step) alone, and what is remembered travels in the weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from orchestrator import advantages, data, policy
from orchestrator.inputs import Inputs
from orchestrator.rollouts import Example, FloatArray, Group, Weights

Batch = tuple[tuple[str, Example], ...]

#: Weight of the newest group in the spread that is remembered of a prompt.
NEWEST = 0.5
#: A prompt without any spread is still drawn with this share of the mean weight: the policy moves.
LEAST_SHARE = 0.1


def batch(inputs: Inputs, weights: Weights, step: int) -> Batch:
    """The (group id, example) pairs of a step; steps count from 1."""
    if inputs.config.prompt_sampling == "epochs":
        return _of_epochs(inputs, step)
    return _by_difficulty(inputs, weights, step, inputs.config.prompts_of(step), taken=())


def named(inputs: Inputs, step: int, names: Sequence[str]) -> Batch:
    """The (group id, example) pairs of a step's groups by their ids."""
    known = {example.id: example for example in inputs.train}
    known.update(_of_epochs(inputs, step))
    return tuple((name, known[name]) for name in names)


def spare(inputs: Inputs, weights: Weights, step: int, taken: Sequence[Group], count: int) -> Batch:
    """Up to ``count`` prompts that are not in the step yet, to follow groups without signal."""
    return _by_difficulty(inputs, weights, step, count, [group.example.id for group in taken])


def without_signal(groups: Sequence[Group]) -> int:
    """Groups whose rewards do not differ, or that have fewer than two."""
    dropped, zero_std = advantages.count_signals(groups)
    return dropped + zero_std


def group_sizes(inputs: Inputs, weights: Weights) -> dict[str, int]:
    """Slots per prompt, by domain."""
    config = inputs.config
    least, most = config.group_size, config.max_group_size or config.group_size
    return {
        name: least + round((most - least) * _openness(inputs, weights, name))
        for name in inputs.domains
    }


def noted(weights: Weights, groups: Sequence[Group]) -> Weights:
    """The weights with the spreads of these groups remembered, by example."""
    spreads = dict(weights.spreads)
    for group in sorted(groups, key=lambda group: group.id):
        if len(group.survivors()) >= 2:
            now = float(group.rewards().std())
            before = spreads.get(group.example.id, now)
            spreads[group.example.id] = before + NEWEST * (now - before)
    return replace(weights, spreads=spreads)


def _openness(inputs: Inputs, weights: Weights, name: str) -> float:
    """Entropy of concepts and template over its largest value, in [0, 1]."""
    space, params = inputs.spaces[name], weights.domains[name].params
    largest = math.log(math.comb(space.n, space.k)) + math.log(space.T)
    return min(1.0, policy.entropy(params, space, ()).value / largest)


def _of_epochs(inputs: Inputs, step: int) -> Batch:
    config = inputs.config
    before, size = config.prompts_before(step), config.prompts_of(step)
    return data.batch(inputs.train, before, size, config.seed)


def _by_difficulty(
    inputs: Inputs, weights: Weights, step: int, count: int, taken: Sequence[str]
) -> Batch:
    left = [example for example in inputs.train if example.id not in set(taken)]
    share_E = _shares(left, weights.spreads)
    key = (inputs.config.seed, step, f"prompts beside {len(taken)}")
    uniform_E = policy.uniforms(key, len(left), 1)[:, 0]
    order = np.argsort(-np.log(uniform_E) / share_E, kind="stable")
    return tuple((left[i].id, left[i]) for i in order[:count])


def _shares(examples: Sequence[Example], spreads: Mapping[str, float]) -> FloatArray:
    """Weights (E,): what is not known yet counts like the widest that is."""
    known = [spreads[one.id] for one in examples if one.id in spreads]
    widest = max(known, default=1.0) or 1.0
    spread_E = np.array([spreads.get(one.id, widest) for one in examples], dtype=np.float64)
    mean = float(spread_E.mean()) if examples else 0.0
    return np.maximum(spread_E, LEAST_SHARE * (mean or 1.0))
