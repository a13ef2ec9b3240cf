"""Data -> action -> prompt -> (queue) -> group -> advantage -> update -> weights.

The names below are the Python API. They load when they are first used, so that the command line
starts without numpy, celery and redis, and a trained policy without the engine.
"""

import importlib
import importlib.util
from pathlib import Path
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


def hidden_by() -> str | None:
    """What Python would import in the place of our package ``shared``; None if it is ours.

    The first entry of Python's path is the folder of the program that runs, or PYTHONPATH.
    """
    spec = importlib.util.find_spec("shared")
    places = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec else []
    ours = Path(__file__).resolve().parents[1] / "shared"
    if any(Path(place).resolve() == ours for place in places):
        return None
    return str(places[0]) if places else "nothing"


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if place := hidden_by():
            raise ImportError(
                f"{place} hides the package 'shared' of concept-grpo: rename it, or keep it out of"
                " the folder of your program and out of PYTHONPATH"
            )
        home = _HOMES.get(name, "orchestrator.api")
        return getattr(importlib.import_module(home), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
