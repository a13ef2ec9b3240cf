"""The Python API refuses what cannot work, in words, before any engine starts."""

from collections.abc import Callable
from typing import Any

import pytest

import orchestrator
from orchestrator import (
    GRPOOptimizer,
    RewardModule,
    TextGeneratorModule,
    TrainingManager,
    create_fine_tuned_model,
)
from orchestrator.algorithm import Natural
from shared.errors import UsageError

QUBITS = [{"input": {"text": "Explain qubits"}}]
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


def train(data: Any = QUBITS, **options: Any) -> object:
    return create_fine_tuned_model(data, verbose=False, **options)


def trainer(**options: Any) -> object:
    return TrainingManager(TextGeneratorModule(), GRPOOptimizer(), RewardModule(), **options)


def domain(**changes: Any) -> object:
    return TextGeneratorModule(domains={"keys": {**KEYS, **changes}})


def output(**values: Any) -> object:
    return RewardModule().run(values)


def update(outputs: list[Any], rewards: list[Any]) -> object:
    model = TextGeneratorModule()
    made = [model.run({"text": "Explain bread"}) if one == "made" else one for one in outputs]
    return GRPOOptimizer().update(model, made, rewards)


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "data: not a record": (lambda: train([*QUBITS, "x"]), "training_data[1]: a record must be"),
    "data: empty": (lambda: train([]), "training_data: holds no records"),
    "data: no text": (
        lambda: train([*QUBITS, {"input": {"txt": "x"}}]),
        "training_data[1]: 'input' has no 'text'",
    ),
    "data: empty text": (lambda: train([{"text": " "}]), "training_data[0]: 'text' is empty"),
    "data: quality": (
        lambda: train([{"input": {"text": "x"}, "output": {"quality": 95}}]),
        "training_data[0]: 'quality' must be a number from 0 to 1",
    ),
    "data: same id twice": (
        lambda: train([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]),
        "training_data[1]: the id 'a' is already used at training_data[0]",
    ),
    "data: not JSON": (
        lambda: train([{"text": "x", "level": object()}]),
        "training_data[0]: holds what JSON cannot",
    ),
    "data: NaN": (
        lambda: train([{"text": "x", "level": float("nan")}]),
        "training_data[0]:1: NaN is not a JSON number",
    ),
    "data: not a list": (lambda: train({"text": "x"}), "training_data must be a list or a path"),
    "data: no such file": (lambda: train("missing.jsonl"), "missing.jsonl: no such file"),
    "data: nothing matches": (
        lambda: train([{"text": "Bake bread"}]),
        "none of the 1 prompts matches a domain (quantum computing, machine learning",
    ),
    "data: unknown domain": (
        lambda: train([{"text": "x", "domain": "machine lerning"}]),
        "training_data[0]: domain 'machine lerning' is not one of this run's",
    ),
    "optimizer: unknown knob": (
        lambda: train(optimizer_config={"learningrate": 0.05}),
        "no knob 'learningrate'. Did you mean 'learningRate'?",
    ),
    "optimizer: bad value": (
        lambda: train(optimizer_config={"learningRate": -1}),
        "GRPOOptimizer learningRate: algorithm.learning_rate = -1: must be greater than 0",
    ),
    "optimizer: epochs": (lambda: GRPOOptimizer(epochs=0), "GRPOOptimizer epochs: num_epochs = 0"),
    "optimizer: twice": (
        lambda: GRPOOptimizer({"learningRate": 0.1}, learning_rate=0.2),
        "'learningRate' is given twice",
    ),
    "optimizer: not a dictionary": (
        lambda: train(optimizer_config=0.05),
        "optimizer_config must be a dictionary",
    ),
    "optimizer: knob beside algorithm": (
        lambda: GRPOOptimizer(learning_rate=0.1, algorithm=Natural()),
        "'learning_rate' beside algorithm",
    ),
    "optimizer: algorithm's knob": (
        lambda: GRPOOptimizer(algorithm={"solver": "clipped", "target_lk": 0.1}),
        "did you mean 'algorithm.target_kl'?",
    ),
    "optimizer: no algorithm": (
        lambda: GRPOOptimizer(algorithm="natural"),  # type: ignore[arg-type]
        "'natural' is no algorithm",
    ),
    "update: foreign output": (
        lambda: update(["made", {"generated": "x"}], [0.1, 0.2]),
        "outputs[1] was not made by this model",
    ),
    "update: another model's output": (
        lambda: update([TextGeneratorModule().run({"text": "Explain bread"})], [0.1]),
        "outputs[0] was not made by this model",
    ),
    "update: lengths": (lambda: update(["made"], []), "1 outputs, but 0 rewards"),
    "update: reward": (
        lambda: update(["made", "made"], [0.1, {"reward": float("nan")}]),
        "rewards[1] must be a finite number",
    ),
    "update: no model": (
        lambda: GRPOOptimizer().update(None, [], []),  # type: ignore[arg-type]
        "takes a TextGeneratorModule first, found None",
    ),
    "trainer: parts": (
        lambda: TrainingManager(
            TextGeneratorModule(),
            GRPOOptimizer,  # type: ignore[arg-type]
            RewardModule(),
        ),
        "TrainingManager needs a GRPOOptimizer, found <class",
    ),
    "trainer: group of one": (lambda: trainer(group_size=1), "TrainingManager: group_size = 1"),
    "trainer: batch size": (lambda: trainer(batch_size=0), "TrainingManager: batch_size = 0"),
    "trainer: callback": (
        lambda: trainer(on_batch_complete="print"),
        "on_batch_complete must be a function",
    ),
    "trainer: callbacks": (
        lambda: trainer(callbacks=[print]),
        "callbacks needs objects of classes derived from orchestrator.Callback, found builtin",
    ),
    "trainer: patience": (
        lambda: trainer(early_stopping_patience=0),
        "early_stopping_patience must be 1 or more, not 0",
    ),
    "model: prompt template": (
        lambda: TextGeneratorModule(prompt_template="Explain"),  # type: ignore[arg-type]
        "prompt_template must be a function from an input to a text",
    ),
    "model: prompt template gives nothing": (
        lambda: train(prompt_template=lambda input: None),
        "training_data[0]: prompt_template returned None; it must return a text",
    ),
    "model: seed": (lambda: train(seed=-1), "TextGeneratorModule: seed = -1"),
    "model: base prompt": (lambda: train(base_prompt=3), "TextGeneratorModule: base_prompt = 3"),
    "model: input": (
        lambda: TextGeneratorModule().run("Explain qubits"),  # type: ignore[arg-type]
        'input: a record must be an object like {"text": "..."}, found \'Explain qubits\'',
    ),
    "model: count": (
        lambda: TextGeneratorModule().sample({"text": "Explain qubits"}, 0),
        "count must be 1 to 256, not 0",
    ),
    "domain: key": (lambda: domain(keyword=[]), "domains['keys']: unknown key 'keyword'. Did you"),
    "domain: one keyword": (lambda: domain(keywords=["key1"]), "needs at least 2 keywords"),
    "domain: template": (
        lambda: domain(templates=["{concept.__class__}"]),
        "'{concept.__class__}' is not a placeholder",
    ),
    "domain: relationship": (
        lambda: domain(relationships={"key3": ["x"]}),
        "'relationships' names 'key3', which is not one of its concepts",
    ),
    "domain: not a table": (
        lambda: TextGeneratorModule(domains={"keys": ["key1"]}),  # type: ignore[dict-item]
        "domains['keys']: must be a table",
    ),
    "domain: no name": (
        lambda: TextGeneratorModule(domains=[KEYS]),
        "domains[0]: the domain has no 'name'",
    ),
    "domain: unknown name": (
        lambda: train(domains=["quantum-computin"]),
        "'quantum-computin' is no domain. Did you mean 'quantum-computing'?",
    ),
    "domain: a single text": (
        lambda: train(domains="quantum-computing"),
        "domains must be a list of names, files or tables",
    ),
    "domain: none": (lambda: train(domains=[]), "domains is empty"),
    "domain: name taken": (
        lambda: TextGeneratorModule().add_domain("Quantum Computing", KEYS),
        "is also called 'Quantum Computing', as is 'quantum computing'",
    ),
    "domain: too many concepts asked": (
        lambda: TextGeneratorModule(domains={"keys": KEYS}, concepts_per_prompt=2),
        "concepts_per_prompt = 2, but the domain 'keys' has 2 concepts",
    ),
    "reward: unknown part": (
        lambda: RewardModule(weights={"lenght": 1}),
        "RewardModule: reward_funcs names 'lenght', not built in",
    ),
    "reward: all zero": (
        lambda: RewardModule(weights={"length": 0}),
        "reward_weights are all 0",
    ),
    "reward: negative": (
        lambda: RewardModule(weights={"length": -1}),
        "RewardModule: the weight of 'length' must be 0 or more, found -1",
    ),
    "reward: no weights": (
        lambda: RewardModule(weights={}),
        "weights must map parts to shares",
    ),
    "reward: prompt": (lambda: train(reward_prompt=3), "reward_prompt must be a text"),
    "output: not one": (lambda: output(generate="x"), "must be like"),
    "output: quality": (lambda: output(generated="x", quality=2), "'quality' must be 0 to 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_work_is_refused_before_an_engine_starts(name: str) -> None:
    call, words = BAD[name]

    with pytest.raises(UsageError) as refused:
        call()

    assert words in str(refused.value)
