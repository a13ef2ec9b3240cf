"""What a solver hands back: one domain's new weights and what the report says of the step."""

from typing import NamedTuple

from orchestrator.rollouts import DomainWeights


class Solution(NamedTuple):
    """Made by a solver for one domain, read by ``update.step``."""

    weights: DomainWeights
    #: Rollouts that entered the update.
    used: int
    clip_ratio: float = 0.0
    #: The part of ``clip_ratio`` whose advantage is negative.
    clip_ratio_low: float = 0.0
    learning_rate: float | None = None
    temperature: float | None = None
