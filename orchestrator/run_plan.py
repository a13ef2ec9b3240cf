"""What a run will do, from its inputs alone: where it starts, and how often it evaluates."""

from orchestrator import policy
from orchestrator.inputs import Inputs
from orchestrator.rollouts import DomainWeights, Weights


def initial_weights(inputs: Inputs) -> Weights:
    """Version 0: uniform, or the domains' own starting weights."""
    domains = {}
    for name, space in inputs.spaces.items():
        params = policy.initial_params(space, inputs.domains[name].weights)
        domains[name] = DomainWeights(params, reference=params)
    return Weights(0, domains)


def evaluations(inputs: Inputs) -> int:
    """At the start, at the end, every eval_interval steps between, and the plain prompt once."""
    if not inputs.heldout:
        return 0
    interval = inputs.config.eval_interval
    between = (inputs.steps - 1) // interval if interval else 0
    return 2 + between + has_plain_prompt(inputs)


def has_plain_prompt(inputs: Inputs) -> bool:
    """Whether there is something to say without concepts: the template engine only fills in."""
    return bool(inputs.config.model)
