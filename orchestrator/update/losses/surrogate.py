"""What every surrogate says of a batch."""

from typing import NamedTuple

from orchestrator.rollouts import BoolArray, FloatArray


class Surrogate(NamedTuple):
    """Made by a loss, read by ``clipped``."""

    #: The mean over the batch: to be maximised.
    value: float
    #: Its gradient in the params, (d,), as the method defines it.
    gradient_d: FloatArray
    #: Rollouts whose ratio was cut off, (R,).
    clipped_R: BoolArray
