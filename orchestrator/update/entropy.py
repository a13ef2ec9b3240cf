"""An entropy that is held: the coefficient of the entropy term follows it.

    coef <- coef * 1.5 if H < target, else coef / 1.5       within [coef_0 / 100, 100 coef_0]

H is the policy's exact entropy after the step, as a share of the largest. A target keeps a policy
from collapsing in a step that a fixed coefficient was not made for. Source: Haarnoja et al. 2018
(SAC's temperature), by factors as the learning rate has them instead of a second optimizer.
"""

from collections.abc import Mapping, Sequence

from orchestrator import policy
from orchestrator.algorithm import Clipped
from orchestrator.rollouts import Action, FloatArray, Params
from orchestrator.space import Space

#: One step's change, and how far the coefficient may go from the configured one.
FACTOR, RANGE = 1.5, 100.0


def coefficient(state: Mapping[str, FloatArray], knobs: Clipped) -> float:
    """The coefficient of this step."""
    if knobs.entropy_target is None or "entropy_coef" not in state:
        return knobs.entropy_coef
    return float(state["entropy_coef"])


def followed(
    coef: float, params: Params, space: Space, actions: Sequence[Action], knobs: Clipped
) -> float:
    """The coefficient of the next step."""
    if knobs.entropy_target is None:
        return coef
    largest = policy.entropy_value(policy.initial_params(space), space, actions)
    share = policy.entropy_value(params, space, actions) / largest
    moved = coef * FACTOR if share < knobs.entropy_target else coef / FACTOR
    return min(max(moved, knobs.entropy_coef / RANGE), knobs.entropy_coef * RANGE)
