"""What counts as a reward: one rule for functions on the workers and for the seed's classes."""

import math
from decimal import Decimal
from numbers import Real

#: What float32 rounds by, near 1 and near 0.
ROUNDING_ABOVE, ROUNDING_BELOW = 1e-6, 1e-9


def reward_number(value: object) -> float:
    """A reward as a float: any finite real number, of any library, or a truth (1 or 0).

    What lies outside [0, 1] by no more than rounding is 0 or 1. Raises TypeError for what is not a
    real number, ValueError for one that is not finite.
    """
    found = value
    if not isinstance(found, Real) and getattr(found, "ndim", None) == 0:
        # A scalar or an array without axes, of numpy, torch or jax.
        found = found.item()  # type: ignore[attr-defined]
    if not isinstance(found, Real | Decimal):
        raise TypeError(f"it returned {value!r}, which is not a real number")
    number = float(found)
    if not math.isfinite(number):
        raise ValueError(f"it returned {value!r}, which is not a finite number")
    if -ROUNDING_BELOW <= number < 0:
        return 0.0
    return 1.0 if 1 < number <= 1 + ROUNDING_ABOVE else number
