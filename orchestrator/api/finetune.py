"""create_fine_tuned_model: the seed's one call, from training data to a trained model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.api.generator import Domains, PromptTemplate, TextGeneratorModule
from orchestrator.api.optimizer import GRPOOptimizer, Metrics
from orchestrator.api.reward import RewardModule
from orchestrator.api.trainer import TrainingData, TrainingManager
from orchestrator.callbacks import Callback
from orchestrator.prompts import DEFAULT_BASE_PROMPT
from orchestrator.wording import short
from shared.errors import UsageError

#: Passes over the data if ``optimizer_config`` names none.
EPOCHS = 2
FORMULAS_SCORE = (
    "reward_prompt is for a judge (orchestrator run --judge MODEL); here the four formulas score"
)


def create_fine_tuned_model(
    training_data: TrainingData,
    *,
    base_prompt: str = DEFAULT_BASE_PROMPT,
    reward_prompt: str | None = None,
    optimizer_config: Mapping[str, Any] | None = None,
    domains: Domains | None = None,
    prompt_template: PromptTemplate | None = None,
    reward_module: RewardModule | None = None,
    on_batch_complete: Callable[[Metrics], object] | None = None,
    group_size: int = 8,
    batch_size: int = 8,
    early_stopping_patience: int | None = None,
    callbacks: Sequence[Callback] = (),
    seed: int = 0,
    verbose: bool = True,
    model: str | None = None,
) -> TextGeneratorModule:
    """Train a model on the data, and return it.

    ``optimizer_config``: the seed's ``{"learningRate": 0.05, "epochs": 2}``, all optional.
    ``reward_module``: your own evaluator in place of the four formulas. The other parameters are
    those of TextGeneratorModule and TrainingManager. The same seed and data give the same model.
    Raises UsageError before anything is started.
    """
    if reward_prompt is not None and not isinstance(reward_prompt, str):
        raise UsageError(f"reward_prompt must be a text, found {short(reward_prompt)}")
    if optimizer_config is not None and not isinstance(optimizer_config, Mapping):
        raise UsageError(f"optimizer_config must be a dictionary, found {short(optimizer_config)}")
    generator = TextGeneratorModule(
        prompt_template=prompt_template,
        domains=domains,
        base_prompt=base_prompt,
        seed=seed,
        model=model,
    )
    trainer = TrainingManager(
        module=generator,
        optimizer=GRPOOptimizer({"epochs": EPOCHS, **(optimizer_config or {})}),
        reward_module=RewardModule() if reward_module is None else reward_module,
        on_batch_complete=on_batch_complete,
        group_size=group_size,
        batch_size=batch_size,
        early_stopping_patience=early_stopping_patience,
        callbacks=callbacks,
        verbose=verbose,
    )
    if reward_prompt is not None and verbose:
        print(FORMULAS_SCORE, flush=True)
    trainer.train_on_batch(training_data)
    return generator


async def acreate_fine_tuned_model(
    training_data: TrainingData, **options: Any
) -> TextGeneratorModule:
    """``create_fine_tuned_model``, without blocking the event loop; the same options."""
    return await asyncio.to_thread(create_fine_tuned_model, training_data, **options)
