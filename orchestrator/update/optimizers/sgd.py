"""Plain gradient descent: params <- params - learning_rate * gradient.

On logits its rate is near 20: the gradient is a covariance with memberships, at most 1/4 of an
advantage. Left out: momentum (a batch of rollouts is averaged already).
"""

from orchestrator.update.optimizers.moments import Downhill, Moments, Step


def step(downhill: Downhill, old: Moments) -> Step:
    """The gradient itself."""
    return Step(downhill.gradient_d, old._replace(steps=old.steps + 1))
