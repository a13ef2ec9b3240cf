"""Data -> action -> prompt -> (queue) -> group -> advantage -> update -> weights.

The names below are the Python API (``orchestrator.api``). They load when they are first used, so
that the command line starts without numpy, celery and redis.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.api import (
        Callback,
        Control,
        GRPOOptimizer,
        RewardModule,
        RewardResult,
        RunState,
        TextGeneratorModule,
        TextOutput,
        TrainingManager,
        acreate_fine_tuned_model,
        create_fine_tuned_model,
        shutdown,
    )

__all__ = [
    "Callback",
    "Control",
    "GRPOOptimizer",
    "RewardModule",
    "RewardResult",
    "RunState",
    "TextGeneratorModule",
    "TextOutput",
    "TrainingManager",
    "acreate_fine_tuned_model",
    "create_fine_tuned_model",
    "shutdown",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module("orchestrator.api"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
