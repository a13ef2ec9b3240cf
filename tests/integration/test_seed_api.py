"""The seed's usage examples, translated, on a real engine that they share."""

import re
from collections.abc import Iterator
from statistics import fmean
from typing import Any, ClassVar

import pytest

from orchestrator import (
    Callback,
    Control,
    GRPOOptimizer,
    RewardModule,
    RunState,
    TextGeneratorModule,
    TrainingManager,
    create_fine_tuned_model,
)
from orchestrator.data import BUILTIN_HELDOUT, BUILTIN_TRAIN, load
from shared.errors import RunFailed
from tests.seed_api import SEVERAL, TRAINING_DATA, embedded_engine, shape, trainer

NEW_DOMAIN = {
    "keywords": ["key1", "key2"],
    "templates": ["Template with {concept}"],
    "relationships": {"key1": ["related1", "related2"]},
}
PRINTOUT = re.compile(
    r'^Input: "(?P<input>.+)"\n'
    r'^Output: "(?P<output>.+)"\n'
    r"^Reward: (?P<reward>[01]\.\d{3})\n"
    r"^Feedback: Length: [01]\.\d\d, Vocabulary: [01]\.\d\d, Structure: [01]\.\d\d,"
    r" Quality: [01]\.\d\d$",
    re.MULTILINE,
)


@pytest.fixture(scope="module", autouse=True)
def engine(server: str) -> Iterator[None]:
    """Where ``server`` cannot start, neither can the embedded one: it skips, or fails, for both."""
    with embedded_engine():
        yield


def test_create_fine_tuned_model_as_in_the_seed(capsys: pytest.CaptureFixture[str]) -> None:
    model = create_fine_tuned_model(
        TRAINING_DATA,
        base_prompt="Generate a high-quality explanation.",
        reward_prompt="Evaluate the quality of this explanation.",
        optimizer_config={"learningRate": 0.05, "epochs": 2},
    )
    result = model.run({"text": "Explain neural networks"})

    assert result["domain"] == "neural networks"
    printed = capsys.readouterr().out
    assert printed.startswith("reward_prompt is for a judge (orchestrator run --judge MODEL)")
    assert printed.count("Batch outputs:\n") == 2
    shown = list(PRINTOUT.finditer(printed))
    assert [match["input"] for match in shown] == ["Explain quantum computing"] * 2
    assert all(len(match["output"]) <= 160 for match in shown)


def test_the_four_components_as_in_the_seed() -> None:
    metrics: list[dict[str, Any]] = []
    model = TextGeneratorModule(
        name="TextGenerator", prompt_template=lambda input: f"Generate explanation: {input['text']}"
    )
    reward_module = RewardModule(
        name="QualityEvaluator", prompt_template=lambda output: f"Evaluate: {output['generated']}"
    )
    optimizer = GRPOOptimizer({"learningRate": 0.05, "epochs": 2})

    output = model.run({"text": "Explain quantum computing"})
    reward = reward_module.run(output)
    manager = TrainingManager(
        module=model,
        optimizer=optimizer,
        reward_module=reward_module,
        on_batch_complete=metrics.append,
        verbose=False,
    )
    returned = manager.train_on_batch(TRAINING_DATA)

    assert output["domain"] == "quantum computing"
    assert 0 <= reward["reward"] <= 1
    assert list(reward["parts"]) == ["length", "vocabulary", "structure", "quality"]
    assert returned == metrics == manager.history
    assert [(one["batch"], one["epoch"], one["rollouts_used"]) for one in metrics] == [
        (1, 1, 8),
        (2, 2, 8),
    ]
    assert metrics[-1]["learning_rate"] == 0.05
    assert len(optimizer.history) == 2
    assert model.metrics["domains"]["quantum computing"]["scored"] == 16


def test_callbacks_hear_every_batch_and_may_end_training() -> None:
    class Two(Callback):
        heard: ClassVar[list[Any]] = []

        def on_train_begin(self, state: RunState, control: Control) -> None:
            self.heard.append(("begin", state.step, state.max_steps))

        def on_step_end(self, state: RunState, control: Control) -> None:
            self.heard.append((state.step, state.metrics["reward"]))
            control.should_stop = state.step == 2

        def on_train_end(self, state: RunState, control: Control) -> None:
            self.heard.append((state.ending, state.step))

    history: list[dict[str, Any]] = []
    create_fine_tuned_model(
        SEVERAL,
        optimizer_config={"epochs": 2},
        batch_size=2,
        group_size=4,
        callbacks=[Two()],
        on_batch_complete=history.append,
        verbose=False,
    )

    assert Two.heard == [
        ("begin", 0, 4),
        (1, history[0]["reward"]),
        (2, history[1]["reward"]),
        ("finished", 2),
    ]


def test_a_callback_that_raises_ends_training_with_its_name() -> None:
    class Breaks(Callback):
        ending = ""

        def on_step_end(self, state: RunState, control: Control) -> None:
            raise ValueError("no such row")

        def on_train_end(self, state: RunState, control: Control) -> None:
            Breaks.ending = state.ending or ""

    with pytest.raises(RunFailed, match=r"Breaks\.on_step_end raised ValueError: no such row"):
        create_fine_tuned_model(SEVERAL, callbacks=[Breaks()], verbose=False, group_size=2)
    assert Breaks.ending == "failed"


def test_the_prompt_template_words_the_question_and_the_input_decides_the_domain() -> None:
    seen: list[dict[str, Any]] = []

    def ask(input: dict[str, Any]) -> str:
        seen.append(input)
        return f"For a {input['reader']}, unlike neural networks: {input['text']}"

    output = TextGeneratorModule(prompt_template=ask).run(
        {"text": "Explain qubits", "reader": "child"}
    )

    assert seen == [{"text": "Explain qubits", "reader": "child"}]
    assert output["domain"] == "quantum computing"
    assert output.origin is not None
    assert output.origin.asked == "For a child, unlike neural networks: Explain qubits"


def test_training_on_the_seeds_formulas_helps_unseen_queries() -> None:
    def heldout(model: TextGeneratorModule) -> float:
        answers = [model.run({"text": one.text}) for one in load(BUILTIN_HELDOUT).examples]
        return fmean(result["reward"] for result in RewardModule().score(answers))

    trained = create_fine_tuned_model(BUILTIN_TRAIN, verbose=False)

    assert trained.trained
    assert heldout(trained) > heldout(TextGeneratorModule()) + 0.1


def test_the_weights_stay_within_the_seeds_bounds_however_long_the_training() -> None:
    model = create_fine_tuned_model(
        TRAINING_DATA, optimizer_config={"learningRate": 1, "epochs": 15}, verbose=False
    )

    weights = model.weights["quantum computing"].values()
    assert min(weights) == 0.1
    assert 0.5 < max(weights) <= 0.95


def test_a_trained_model_repeats_its_best_choice_and_an_untrained_one_draws() -> None:
    trained = create_fine_tuned_model(TRAINING_DATA, verbose=False)
    untrained = TextGeneratorModule()
    query = {"text": "Explain quantum computing"}

    assert len({trained.run(query)["generated"] for _ in range(4)}) == 1
    assert len({untrained.run(query)["generated"] for _ in range(4)}) > 1
    assert len({untrained.run(query, greedy=True)["generated"] for _ in range(4)}) == 1
    assert len({trained.run(query, greedy=False)["generated"] for _ in range(8)}) > 1


def test_where_nothing_was_trained_a_trained_model_still_draws() -> None:
    trained = create_fine_tuned_model(TRAINING_DATA, verbose=False)

    answers = {trained.run({"text": "Explain backpropagation"})["generated"] for _ in range(4)}

    assert len(answers) > 1


def test_a_loop_of_ones_own_learns_too() -> None:
    model, optimizer = TextGeneratorModule(), GRPOOptimizer()
    rewards = []
    for _ in range(6):
        outputs = model.sample({"text": "Explain quantum computing"}, 16)
        metrics = optimizer.update(model, outputs, [shape(output) for output in outputs])
        rewards.append(metrics["reward"])

    assert metrics["policy_version"] == 6
    assert model.sample({"text": "Explain qubits"}, 1, greedy=True)[0]["template"].startswith(
        "Three steps"
    )
    assert rewards[-1] > rewards[0] + 0.3


def test_single_runs_of_one_text_form_a_group() -> None:
    model, optimizer = TextGeneratorModule(), GRPOOptimizer({"learningRate": 0.05})
    texts = ["Explain qubits", "Explain neural networks", "Explain qubits", "Explain bread"]
    outputs = [model.run({"text": text}) for text in texts]

    metrics = optimizer.update(model, outputs, [0.2, {"reward": 0.5}, 0.9, 0.1])

    counts = {name: metrics[name] for name in ("groups", "groups_of_one", "rollouts_used")}
    assert counts == {"groups": 2, "groups_of_one": 1, "rollouts_used": 2}
    assert metrics["unmatched"] == 1
    assert "note" not in metrics


def test_a_batch_of_one_learns_nothing_and_says_so() -> None:
    model, optimizer = TextGeneratorModule(), GRPOOptimizer()
    before = model.weights
    output = model.run({"text": "Explain quantum computing"})

    metrics = optimizer.update(model, [output], [RewardModule().run(output)])

    assert (metrics["groups_of_one"], metrics["rollouts_used"]) == (1, 0)
    assert metrics["policy_version"] == 0
    assert str(metrics["note"]).startswith("nothing was learnt: a reward is compared with")
    assert model.weights == before


def test_equal_rewards_and_missing_rewards_carry_no_signal() -> None:
    model, optimizer = TextGeneratorModule(), GRPOOptimizer()
    outputs = model.sample({"text": "Explain quantum computing"}, 4)

    equal = optimizer.update(model, outputs, [0.5] * 4)
    missing = optimizer.update(model, outputs, [0.5, None, None, None])

    assert equal["frac_reward_zero_std"] == 1
    assert "all rewards are equal" in str(equal["note"])
    assert (missing["failed"], missing["groups_dropped"], missing["rollouts_used"]) == (3, 1, 0)


def test_a_custom_domain_in_the_seeds_shape_is_trained_and_answers() -> None:
    model = TextGeneratorModule()
    model.add_domain("keys", NEW_DOMAIN)

    metrics = trainer(model).train_on_batch([{"text": "What about key2?"}])
    answer = model.run({"text": "And key1?"})

    assert metrics[0]["rollouts"] == 4
    assert (answer["domain"], answer["template"]) == ("keys", "Template with {concept}")
    assert answer["generated"] in {"Template with key1", "Template with key2"}


def test_prompts_that_match_no_domain_are_named_and_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = [{"text": "Explain qubits"}, {"text": "Bake bread"}]
    manager = TrainingManager(TextGeneratorModule(), GRPOOptimizer(), RewardModule(), group_size=2)

    metrics = manager.train_on_batch(data)

    assert metrics[0]["rollouts"] == 2
    assert "1 of 2 prompts match no domain and never train: training_data[1]\n" in (
        capsys.readouterr().out
    )


def test_the_same_seed_gives_the_same_model_whatever_else_was_asked() -> None:
    def trained(seed: int, *asked_before: str) -> dict[str, dict[str, float]]:
        model = TextGeneratorModule(seed=seed)
        for text in asked_before:
            model.run({"text": text})
        trainer(model, epochs=2).train_on_batch(SEVERAL)
        return model.weights

    first = trained(7)

    assert trained(7, "Explain qubits", "Explain neural networks") == first
    assert trained(8) != first
