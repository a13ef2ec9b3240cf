"""The life of one example, in order: Example, Action, Rollout, Group, Weights, StepReport.

Pure data. Arrays are named with their axes: G groups, R rollouts, n concepts, T templates,
m features, d = n + T + m parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.messages import Completion, Failure, Reference, Reward

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: Rewards of [0, 1] that are no further apart are equal: a sum of parts rounds at 1e-16.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Example:
    """One line of the data. Made by ``data``, read by ``domains`` and ``prompts``."""

    id: str
    text: str
    #: A good answer, or several of which any is right.
    reference: Reference | None = None
    domain: str | None = None
    #: Columns that are not ours, kept for rewards.
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: Where it stands: file and 1-based line.
    source: str = ""


class Action(NamedTuple):
    """What the prompt asks for: indices into the domain's concepts, templates and features.

    ``concepts`` and ``features`` are ascending: their probability belongs to the set.
    """

    concepts: tuple[int, ...]
    template: int
    features: tuple[int, ...]


#: Asks for nothing: the base prompt and the user's text alone. In no policy's space.
PLAIN = Action((), -1, ())


@dataclass(frozen=True)
class Params:
    """Logits of one domain's policy: theta (n,), phi (T,), eta (m,), float64."""

    theta: FloatArray
    phi: FloatArray
    eta: FloatArray

    def flat(self) -> FloatArray:
        """[theta | phi | eta], shape (d,)."""
        return np.concatenate([self.theta, self.phi, self.eta])

    def unflat(self, flat_d: FloatArray) -> "Params":
        """Params of the same shapes from a flat (d,) array."""
        n, m = len(self.theta), len(self.theta) + len(self.phi)
        return Params(flat_d[:n].copy(), flat_d[n:m].copy(), flat_d[m:].copy())


@dataclass(frozen=True)
class DomainWeights:
    """One domain's policy, where it started, and what its solver remembers between steps."""

    params: Params
    reference: Params
    #: Arrays by name; only the solver that wrote them reads them.
    state: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Ahead:
    """Groups of one batch that were drawn before this version and have not ended."""

    step: int
    policy_version: int
    groups: tuple[str, ...]
    #: Domain name -> the params that acted.
    acted: Mapping[str, Params]


@dataclass(frozen=True)
class Weights:
    """One version of the whole policy: by domain name."""

    version: int
    domains: Mapping[str, DomainWeights]
    #: Example id -> spread that its rewards have had within a group, for ``sampling``.
    spreads: Mapping[str, float] = field(default_factory=dict)
    #: What is in flight, for ``pipeline``.
    ahead: tuple[Ahead, ...] = ()


class GroupKey(NamedTuple):
    """What names a group within a run."""

    step: int
    group: str


@dataclass(frozen=True)
class Rollout:
    """One action, its completion and its reward, or the failure in their place."""

    slot: int
    action: Action
    #: log pi(action) under the version that acted.
    log_prob: float
    completion: Completion | None = None
    reward: Reward | None = None
    failure: Failure | None = None
    #: Group-relative advantage; None if the rollout carries no signal.
    advantage: float | None = None


@dataclass(frozen=True)
class Group:
    """The rollouts of one prompt at one step."""

    #: The example's id, with a suffix if the example stands twice in the batch.
    id: str
    step: int
    example: Example
    domain: str
    policy_version: int
    #: The params that acted: scores are always taken under these.
    acted: Params
    rollouts: tuple[Rollout, ...]

    @property
    def key(self) -> GroupKey:
        return GroupKey(self.step, self.id)

    def survivors(self) -> tuple[Rollout, ...]:
        """The rollouts that have a reward."""
        return tuple(r for r in self.rollouts if r.reward is not None)

    def rewards(self) -> FloatArray:
        """Rewards of the survivors, in slot order."""
        return np.array(
            [r.reward.value for r in self.rollouts if r.reward is not None], dtype=np.float64
        )


@dataclass(frozen=True)
class UpdateReport:
    """What one update did. Entropy and KL are means over the domains, by their rollouts."""

    #: Groups that the update was given.
    groups_given: int
    rollouts_used: int
    frac_reward_zero_std: float
    groups_dropped: int
    entropy: float
    #: KL(new || reference).
    kl: float
    #: KL(new || old): the size of the step.
    kl_step: float
    #: Share of rollouts whose ratio was clipped; 0 for the closed form.
    clip_ratio: float = 0.0
    #: The part of it with a negative advantage, clipped at the lower bound.
    clip_ratio_low: float = 0.0
    learning_rate: float | None = None
    #: Temperature of the closed form; None for the other solvers.
    temperature: float | None = None


@dataclass(frozen=True)
class StepReport:
    """One line of ``metrics.jsonl``."""

    step: int
    metrics: Mapping[str, float | int | None]
