"""Rewards of the Python API: the formulas, custom ones by subclass and by name, early stopping."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import (
    GRPOOptimizer,
    RewardModule,
    TextGeneratorModule,
    TextOutput,
    TrainingManager,
    create_fine_tuned_model,
)
from shared.errors import UsageError
from tests.seed_api import SEVERAL, TRAINING_DATA, embedded_engine, shape, trainer


@pytest.fixture(scope="module", autouse=True)
def engine(server: str) -> Iterator[None]:
    """Where ``server`` cannot start, neither can the embedded one: it skips, or fails, for both."""
    with embedded_engine():
        yield


class ShapeReward(RewardModule):
    def calculate_reward(self, output: TextOutput) -> float:
        return shape(output)


class SlowShapeReward(RewardModule):
    async def calculate_reward(self, output: TextOutput) -> float:
        await asyncio.sleep(0.05)
        return shape(output)


class HalfStandard(RewardModule):
    def calculate_reward(self, output: TextOutput) -> float:
        return 0.5 * float(self.standard(output)["reward"])


class Counting(RewardModule):
    def run(self, output: Any) -> Any:
        self.seen = getattr(self, "seen", 0) + 1
        return super().run(output)


@pytest.mark.parametrize("reward", [ShapeReward, SlowShapeReward])
def test_a_custom_reward_is_what_is_learnt(
    reward: type[RewardModule], capsys: pytest.CaptureFixture[str]
) -> None:
    model = create_fine_tuned_model(
        TRAINING_DATA, reward_module=reward(), optimizer_config={"epochs": 6}, group_size=16
    )

    answer = model.run({"text": "Explain quantum computing"})
    assert answer["template"].startswith("Three steps")
    assert "\nReward: 1.000\nFeedback: Reward: 1.00\n" in capsys.readouterr().out


def test_a_custom_reward_may_build_on_the_formulas_and_on_the_reference() -> None:
    model = TextGeneratorModule()
    references: list[str | None] = []

    class Judging(HalfStandard):
        def calculate_reward(self, output: TextOutput) -> float:
            references.append(output.reference)
            return super().calculate_reward(output)

    output = model.run({"text": "Explain qubits"})
    assert Judging().run(output)["reward"] == pytest.approx(
        0.5 * RewardModule().run(output)["reward"]
    )
    trainer(model, Judging(), group_size=2).train_on_batch(TRAINING_DATA)
    assert references == [None, *["Quantum computing uses quantum mechanics..."] * 2]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.5", None, [1.0]])
def test_a_custom_reward_that_is_no_finite_number_names_its_class(value: Any) -> None:
    class Broken(RewardModule):
        def calculate_reward(self, output: TextOutput) -> float:
            return value  # type: ignore[no-any-return]

    with pytest.raises(UsageError, match=r"Broken\.calculate_reward returned .*finite number"):
        Broken().run({"generated": "A text."})


def test_an_overridden_run_is_not_passed_over() -> None:
    reward_module = Counting()

    trainer(reward_module=reward_module).train_on_batch(TRAINING_DATA)

    assert reward_module.seen == 4


def test_training_and_evaluation_score_alike() -> None:
    model = TextGeneratorModule()
    seen: list[tuple[TextOutput, dict[str, Any]]] = []

    class Watching(GRPOOptimizer):
        def update(self, model: Any, outputs: Any, rewards: Any) -> Any:
            seen.extend(zip(outputs, rewards, strict=True))
            return super().update(model, outputs, rewards)

    TrainingManager(model, Watching(), RewardModule(), group_size=3, verbose=False).train_on_batch(
        SEVERAL
    )

    outputs, rewards = [one for one, _ in seen], [two for _, two in seen]
    assert RewardModule().score(outputs) == rewards
    assert (
        RewardModule(weights={"length": 2, "quality": 0}).run(outputs[0])["reward"]
        == (rewards[0]["parts"]["length"])
    )


def test_a_text_from_elsewhere_is_scored_too() -> None:
    result = RewardModule().run({"generated": "Qubits hold superpositions.", "quality": 0.25})

    assert result["parts"]["quality"] == 0.25
    assert result["feedback"].endswith("Quality: 0.25")


def test_functions_by_name_are_loaded_by_the_workers() -> None:
    own = RewardModule(weights={"length": 0, "tests.custom_rewards:my_reward": 1})

    assert own.run({"generated": "A text."})["reward"] == 0.25
    with pytest.raises(UsageError, match=r"tests\.custom_rewards:graded' asks for 'difficulty'"):
        trainer(
            reward_module=RewardModule(weights={"tests.custom_rewards:graded": 1})
        ).train_on_batch(TRAINING_DATA)


def test_early_stopping_ends_when_the_reward_no_longer_rises(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Constant(RewardModule):
        def calculate_reward(self, output: TextOutput) -> float:
            return 0.5

    metrics: list[dict[str, Any]] = []
    create_fine_tuned_model(
        SEVERAL,
        reward_module=Constant(),
        optimizer_config={"epochs": 50},
        batch_size=2,
        early_stopping_patience=2,
        on_batch_complete=metrics.append,
    )

    assert [one["epoch"] for one in metrics] == [1, 1, 2, 2, 3, 3]
    assert "stopped early after epoch 3: best mean reward 0.500\n" in capsys.readouterr().out
