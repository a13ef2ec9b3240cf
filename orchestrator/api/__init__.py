"""The seed's Python API: its five names, working on the real engine.

    model = create_fine_tuned_model(training_data, optimizer_config={"epochs": 2})
    model.run({"text": "Explain neural networks"})

Import the names from ``orchestrator``: they load when they are first used.
"""

from orchestrator.api.finetune import acreate_fine_tuned_model, create_fine_tuned_model
from orchestrator.api.generator import TextGeneratorModule
from orchestrator.api.optimizer import GRPOOptimizer
from orchestrator.api.outputs import RewardResult, TextOutput
from orchestrator.api.reward import RewardModule
from orchestrator.api.shared_engine import shutdown
from orchestrator.api.trainer import TrainingManager

__all__ = [
    "GRPOOptimizer",
    "RewardModule",
    "RewardResult",
    "TextGeneratorModule",
    "TextOutput",
    "TrainingManager",
    "acreate_fine_tuned_model",
    "create_fine_tuned_model",
    "shutdown",
]
