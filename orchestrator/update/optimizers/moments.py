"""What an optimizer is given, what it remembers and what it hands back."""

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.rollouts import Action, FloatArray, Params
from orchestrator.space import Space


class Downhill(NamedTuple):
    """The gradient of the loss (d,), and where and over which actions it was taken."""

    gradient_d: FloatArray
    params: Params
    space: Space
    actions: Sequence[Action]
    damping: float


class Moments(NamedTuple):
    """Adam's moments (d,) and the number of optimizer steps ever taken (shape ())."""

    first: FloatArray
    second: FloatArray
    steps: FloatArray


class Step(NamedTuple):
    """The direction to move against (d,), and what to remember."""

    direction_d: FloatArray
    moments: Moments
