"""The knobs of the update: one model per solver, chosen by ``solver``."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

#: Context of validation for what a run has kept: an earlier version may have allowed more.
STORED = {"stored": True}


class Knobs(BaseModel):
    """Base of every config section: frozen, unknown keys and other types are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def refuse_without_effect(
    knobs: Knobs, names: Sequence[str], why: str, info: ValidationInfo
) -> None:
    """Raise ValueError if one of these is set to another value than its default, in a new run."""
    for name in names if info.context is not STORED else ():
        value = getattr(knobs, name)
        if value != type(knobs).model_fields[name].get_default(call_default_factory=True):
            raise ValueError(f"{name} = {value!r} changes nothing {why}; omit it")


class AdvantageKnobs(Knobs):
    """What both solvers share."""

    scale_rewards: Literal["group", "batch", "none"] = "group"
    """What divides a group's centred rewards: its spread, the batch's, or nothing (Dr. GRPO); of
    solver = clipped."""
    advantage: Literal["grpo", "rloo", "ema"] = "grpo"
    """Baseline: the group's mean, the mean of the others (RLOO), or a running mean (ema); of
    solver = clipped."""
    winsorize_mad: Annotated[float, Field(gt=0)] | None = None
    """Cap outliers of a group at this many MADs from its median; None = off."""


class Natural(AdvantageKnobs):
    """Closed form: a regression on every reward ever paid for."""

    solver: Literal["natural"] = "natural"
    exploration: Literal["thompson", "temperature"] = "thompson"
    """Act by how often each part is in the best action, or by the worths over a temperature."""
    max_pairs: Annotated[int, Field(ge=0)] = 400
    """Thompson: pairs are learnt in a domain that has at most so many; 0 = none."""
    spread: Annotated[float, Field(gt=0)] = 1.2
    """Thompson: width of the draws in posterior deviations: wider explores longer."""
    floor: Annotated[float, Field(ge=0.001, lt=1)] = 0.02
    """Thompson: share of the uniform law in the policy."""
    temperature_scale: Annotated[float, Field(gt=0)] = 0.5
    """Scale of the temperature: higher explores longer; of exploration = temperature."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Memory per 64 rollouts: 1 for a world that does not change, 0.9 for a drifting model."""
    detect_drift: bool = True
    """Forget the past when a batch's residuals show that the model or the judge has changed."""
    max_kl: Annotated[float, Field(gt=0)] | None = None
    """Largest exact KL(new || old) of one step; None = no limit."""

    @model_validator(mode="after")
    def _each_has_an_effect(self, info: ValidationInfo) -> Self:
        scale = "with solver = natural: a regression has no scale, and its baseline is the group's"
        refuse_without_effect(self, ("scale_rewards", "advantage"), f"{scale} mean", info)
        thompson = self.exploration == "thompson"
        unused = ("temperature_scale",) if thompson else ("max_pairs", "spread", "floor")
        refuse_without_effect(self, unused, f"with exploration = {self.exploration}", info)
        return self


class Clipped(AdvantageKnobs):
    """The textbook step: passes over mini-batches of the clipped ratio, KL and entropy terms."""

    solver: Literal["clipped"] = "clipped"
    learning_rate: Annotated[float, Field(gt=0)] = 0.2
    """Step size of the optimizer, in logits."""
    loss_type: Literal["ppo_clip", "cispo", "gspo", "reinforce"] = "ppo_clip"
    """What is maximised: the clipped ratio, per-factor or per-part variants of it, or no ratio."""
    optimizer: Literal["adam", "sgd", "natural_gradient"] = "adam"
    """How the gradient becomes a step; natural_gradient divides by the exact Fisher matrix."""
    damping: Annotated[float, Field(gt=0)] = 0.01
    """Added to the Fisher matrix's diagonal; of optimizer = natural_gradient."""
    max_kl: Annotated[float, Field(gt=0)] | None = None
    """Largest exact KL(new || old) of one optimizer step; None = no limit."""
    num_iterations: Annotated[int, Field(ge=1)] = 10
    """Passes over one batch (mu in the GRPO paper)."""
    mini_batch_size: Annotated[int, Field(ge=2)] | None = None
    """Rollouts per optimizer step; None = the whole batch."""
    epsilon: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The ratio is clipped to [1 - epsilon, 1 + epsilon_high]."""
    epsilon_high: Annotated[float, Field(gt=0)] = 0.28
    """The upper end: a wider one lets rare good choices grow (DAPO)."""
    beta: Annotated[float, Field(ge=0)] = 0.0
    """Weight of KL(pi || reference)."""
    entropy_coef: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the policy's entropy."""
    entropy_target: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Adapt entropy_coef so that the entropy stays near this share of the largest; None = fixed."""
    target_kl: Annotated[float, Field(gt=0)] | None = None
    """Adapt the learning rate so that the exact KL of a step stays near this; None = fixed rate."""
    max_logit: Annotated[float, Field(gt=0)] = 20.0
    """Logits stay within this distance of their centre."""

    @model_validator(mode="after")
    def _each_has_an_effect(self, info: ValidationInfo) -> Self:
        if self.optimizer != "natural_gradient":
            refuse_without_effect(self, ("damping",), f"with optimizer = {self.optimizer}", info)
        if self.loss_type in {"cispo", "reinforce"}:
            refuse_without_effect(self, ("epsilon",), f"with loss_type = {self.loss_type}", info)
        if self.loss_type == "reinforce":
            refuse_without_effect(self, ("epsilon_high",), "with loss_type = reinforce", info)
        if self.entropy_coef == 0:
            refuse_without_effect(self, ("entropy_target",), "with entropy_coef = 0", info)
        if self.advantage == "ema" and self.scale_rewards == "batch" and info.context is not STORED:
            raise ValueError(
                'scale_rewards = "batch" changes nothing with advantage = ema, whose spread is that'
                " of all batches; omit it"
            )
        return self


Algorithm = Annotated[Natural | Clipped, Field(discriminator="solver")]
