"""Adam: every parameter moves by about the learning rate, whatever the gradient's size.

    m <- 0.9 m + 0.1 g      v <- 0.999 v + 0.001 g^2      step = m' / (sqrt(v') + 1e-8)

m' and v' without the bias of their start at 0. Source: Kingma & Ba 2015. Left out: weight decay
(beta and the entropy pull towards the reference already), warm-up, AMSGrad.
"""

import numpy as np

from orchestrator.update.optimizers.moments import Downhill, Moments, Step

#: Decay rates of the first and second moment, and the term that keeps the division finite.
FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8


def step(downhill: Downhill, old: Moments) -> Step:
    """The direction from the moments after this gradient."""
    new = Moments(
        FIRST_DECAY * old.first + (1 - FIRST_DECAY) * downhill.gradient_d,
        SECOND_DECAY * old.second + (1 - SECOND_DECAY) * downhill.gradient_d**2,
        old.steps + 1,
    )
    first_d = new.first / (1 - FIRST_DECAY ** float(new.steps))
    second_d = new.second / (1 - SECOND_DECAY ** float(new.steps))
    return Step(first_d / (np.sqrt(second_d) + EPSILON), new)
