"""The seed's training data, and what its tests share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import orchestrator
from orchestrator import (
    GRPOOptimizer,
    RewardModule,
    TextGeneratorModule,
    TextOutput,
    TrainingManager,
)

#: As the seed has it.
TRAINING_DATA: list[dict[str, Any]] = [
    {
        "input": {"text": "Explain quantum computing"},
        "output": {"generated": "Quantum computing uses quantum mechanics...", "quality": 0.95},
    }
]
SEVERAL: list[dict[str, Any]] = [
    *TRAINING_DATA,
    {"input": {"text": "Explain neural networks"}},
    {"text": "Explain machine learning", "reference": "Models learn from training data."},
]


@contextmanager
def embedded_engine() -> Iterator[None]:
    """No given server inside, and nothing left of the engine afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REDIS_URL", raising=False)
        orchestrator.shutdown()
        yield
        orchestrator.shutdown()


def trainer(
    module: TextGeneratorModule | None = None,
    reward_module: RewardModule | None = None,
    epochs: int = 1,
    **options: Any,
) -> TrainingManager:
    """A quiet TrainingManager with small groups."""
    return TrainingManager(
        module=module or TextGeneratorModule(),
        optimizer=GRPOOptimizer(epochs=epochs),
        reward_module=reward_module or RewardModule(),
        verbose=False,
        **{"group_size": 4, **options},
    )


def shape(output: TextOutput) -> float:
    """A reward that only one template of quantum computing gets."""
    return float(output["template"].startswith("Three steps"))
