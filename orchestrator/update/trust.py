"""A step that ends where its exact KL reaches a bound."""

from collections.abc import Sequence

from orchestrator import policy
from orchestrator.encoding import encode
from orchestrator.rollouts import Action, Params
from orchestrator.space import Space

#: Halvings: the bound is met to a billionth of the step.
HALVINGS = 30


def within(
    max_kl: float, old: Params, new: Params, space: Space, actions: Sequence[Action]
) -> Params:
    """``new``, or the point on the line from ``old`` to it where KL(point || old) = max_kl.

    Along that line the KL only grows (exponential family), so bisection finds it.
    """
    encoded = encode(space, actions)
    start_d, move_d = old.flat(), new.flat() - old.flat()
    if policy.kl_value(new, old, space, encoded) <= max_kl:
        return new
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        point = old.unflat(start_d + middle * move_d)
        if policy.kl_value(point, old, space, encoded) <= max_kl:
            low = middle
        else:
            high = middle
    return old.unflat(start_d + low * move_d)
