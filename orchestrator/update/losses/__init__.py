"""The surrogates of the textbook step, one file each: what is maximised over a batch."""

from collections.abc import Callable, Mapping

from orchestrator.algorithm import Clipped
from orchestrator.rollouts import Params
from orchestrator.space import Space
from orchestrator.update.batch import Batch
from orchestrator.update.losses import cispo, gspo, ppo_clip, reinforce
from orchestrator.update.losses.surrogate import Surrogate

#: By ``Clipped.loss_type``.
LOSSES: Mapping[str, Callable[[Params, Batch, Clipped, Space], Surrogate]] = {
    "ppo_clip": ppo_clip.surrogate,
    "cispo": cispo.surrogate,
    "gspo": gspo.surrogate,
    "reinforce": reinforce.surrogate,
}
