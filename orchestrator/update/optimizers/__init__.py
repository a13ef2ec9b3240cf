"""How a gradient becomes a step, one file each."""

from collections.abc import Callable, Mapping

from orchestrator.update.optimizers import adam, natural_gradient, sgd
from orchestrator.update.optimizers.moments import Downhill, Moments, Step

#: By ``Clipped.optimizer``: the direction to move against, before the learning rate.
OPTIMIZERS: Mapping[str, Callable[[Downhill, Moments], Step]] = {
    "adam": adam.step,
    "sgd": sgd.step,
    "natural_gradient": natural_gradient.step,
}
