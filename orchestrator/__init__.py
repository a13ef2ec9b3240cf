"""Data -> action -> prompt -> (queue) -> group -> advantage -> update -> weights.

The names below are the Python API. They load when they are first used, so that the command line
starts without numpy, celery and redis, and a trained policy without the engine.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.api import (
        GRPOOptimizer,
        RewardModule,
        RewardResult,
        TextGeneratorModule,
        TextOutput,
        TrainingManager,
        acreate_fine_tuned_model,
        create_fine_tuned_model,
        shutdown,
    )
    from orchestrator.callbacks import Callback, Control, RunState
    from orchestrator.plans import Plan, Reply
    from orchestrator.trained import Policy

__all__ = [
    "Callback",
    "Control",
    "GRPOOptimizer",
    "Plan",
    "Policy",
    "Reply",
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

_HOMES = {
    "Callback": "orchestrator.callbacks",
    "Control": "orchestrator.callbacks",
    "Plan": "orchestrator.plans",
    "Policy": "orchestrator.trained",
    "Reply": "orchestrator.plans",
    "RunState": "orchestrator.callbacks",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = _HOMES.get(name, "orchestrator.api")
        return getattr(importlib.import_module(home), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
