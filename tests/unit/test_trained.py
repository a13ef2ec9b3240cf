"""A trained policy in people's own code: loaded from a file, planning exactly what it was trained
to, with nothing but numpy and pydantic."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import Plan, Policy, policy
from orchestrator.config import RunConfig
from orchestrator.inputs import Inputs, prepare
from orchestrator.rollouts import Weights
from shared.errors import UsageError
from tests.trained_policies import opinionated, policy_file

ROOT = Path(__file__).parents[2]
TEXT = "Explain how qubits differ from bits"
#: Refuses every import that is not numpy, pydantic (with what it needs) or the standard library.
BLOCKED = """
import sys

ALLOWED = {
    "numpy", "pydantic", "pydantic_core", "annotated_types", "typing_extensions",
    "typing_inspection", "orchestrator", "shared",
}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        # The standard library's build data has a name of its own on each machine.
        known = top in ALLOWED or top in sys.stdlib_module_names or top.startswith("_sysconfig")
        if not known:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Blocker())
from orchestrator import Policy

policy = Policy.load(sys.argv[1])
print(policy.plan(sys.argv[2], seed=7).model_dump_json())
try:
    policy.generate(sys.argv[2], model="any")
except ConnectionError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return prepare(RunConfig(seed=3))


@pytest.fixture(scope="module")
def weights(inputs: Inputs) -> Weights:
    return opinionated(inputs)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return policy_file(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def loaded(file: Path) -> Policy:
    return Policy.load(file)


def test_it_loads_with_numpy_and_pydantic_alone_and_draws_the_same(
    file: Path, loaded: Policy
) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(file), TEXT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert shown.returncode == 0, shown.stderr
    plan, more = shown.stdout.splitlines()
    assert json.loads(plan) == loaded.plan(TEXT, seed=7).model_dump(mode="json")
    assert "install concept-grpo with its dependencies" in more


def test_a_plan_is_a_draw_of_the_policy_with_its_exact_log_probability(
    loaded: Policy, inputs: Inputs, weights: Weights
) -> None:
    plan = loaded.plan(TEXT, seed=7)

    name = "quantum computing"
    space, params = inputs.spaces[name], weights.domains[name].params
    uniforms_1U = policy.uniforms((7, 0, TEXT), 1, space.uniforms_needed)
    (action,), (log_prob,) = policy.draw(params, space, uniforms_1U)
    domain = inputs.domains[name]
    assert plan.domain == name
    assert plan.concepts == tuple(domain.concepts[i] for i in action.concepts)
    assert plan.features == tuple(domain.features[i] for i in action.features)
    assert plan.template == domain.templates[action.template].text
    assert plan.log_prob == log_prob
    assert (plan.seed, plan.policy_version) == (7, 9)
    assert [message["role"] for message in plan.messages] == ["system", "user"]
    assert plan.messages[1]["content"].startswith(TEXT)
    assert all(concept in plan.messages[1]["content"] for concept in plan.concepts)


def test_greedy_is_what_is_deployed_and_needs_no_seed(loaded: Policy, file: Path) -> None:
    greedy = loaded.plan(TEXT, greedy=True)

    assert greedy == loaded.plan(TEXT, greedy=True)
    assert greedy.seed is None
    (domain, *_) = json.loads(file.read_text(encoding="utf-8"))["domains"]
    assert list(greedy.concepts) == domain["greedy"]["concepts"]
    assert list(greedy.features) == domain["greedy"]["features"]
    assert greedy.template == domain["templates"][domain["greedy"]["template"]]


def test_draws_are_as_frequent_as_their_log_probability_says(loaded: Policy) -> None:
    plans = [loaded.plan(TEXT, seed=seed) for seed in range(500)]

    first = max(plans, key=lambda plan: plan.log_prob)
    same = [plan for plan in plans if plan.prompt == first.prompt]
    expected = 500 * np.exp(first.log_prob)
    assert len(same) == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_a_fresh_seed_is_told_so_that_the_plan_can_be_repeated(loaded: Policy) -> None:
    first, second = loaded.plan(TEXT), loaded.plan(TEXT)

    assert first.seed != second.seed
    assert loaded.plan(TEXT, seed=first.seed) == first


def test_it_describes_what_it_asks_for(loaded: Policy, inputs: Inputs) -> None:
    said = loaded.describe()

    for name, domain in inputs.domains.items():
        chosen = loaded.plan(TEXT, greedy=True, domain=name)
        assert f"{name}: {' + '.join(chosen.concepts)} + template " in said
        assert all(f"{concept} 0." in said for concept in domain.concepts)
    assert "version 9" in repr(loaded)


def test_a_plan_cannot_be_changed(loaded: Policy) -> None:
    plan: Plan = loaded.plan(TEXT, seed=1)
    with pytest.raises(ValueError, match="frozen"):
        plan.domain = "another"  # type: ignore[misc]
    plan.messages.clear()
    assert plan.messages


@pytest.mark.parametrize(
    ("text", "domain", "words"),
    [
        ("Bake a cake", None, "'quantum computing', 'machine learning' or 'neural networks'"),
        ("Bake a cake", "quantum computin", "Did you mean 'quantum computing'?"),
        ("  ", None, "1 to 100,000 characters"),
        ("x" * 100_001, None, "1 to 100,000 characters"),
        ("Explain qubits \udcff", None, "holds what is no character"),
    ],
)
def test_a_text_without_a_domain_is_refused_with_what_to_do(
    loaded: Policy, text: str, domain: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        loaded.plan(text, domain=domain)


def test_a_domain_can_be_named_for_any_text(loaded: Policy) -> None:
    assert loaded.plan("Bake a cake", domain="neural networks").domain == "neural networks"


@pytest.mark.parametrize("seed", [1.5, float("nan"), "seven"])
def test_a_seed_that_is_none_is_refused(loaded: Policy, seed: Any) -> None:
    with pytest.raises(UsageError, match="whole number"):
        loaded.plan(TEXT, seed=seed)


def test_a_name_that_no_file_can_have_names_no_run() -> None:
    for name in ("x" * 5000, "x\0y"):
        with pytest.raises(UsageError, match="no run called"):
            Policy.load(name)


def test_a_file_of_the_first_format_still_plans_the_same(
    file: Path, loaded: Policy, tmp_path: Path
) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    document["format"] = "concept-grpo/policy@1"
    del document["generator"]
    for domain in document["domains"]:
        del domain["greedy"]["prompt"]
    (tmp_path / "old.json").write_text(json.dumps(document), encoding="utf-8")

    old = Policy.load(tmp_path / "old.json")

    assert old.plan(TEXT, seed=3) == loaded.plan(TEXT, seed=3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "is no policy"),
        ({"format": "concept-grpo/policy@7"}, "with this version"),
        ({"domains": []}, "domains"),
        ({"concepts_per_prompt": 99}, "k must be at least 1 and less than n"),
        ({"further": 1}, "further"),
        ({"domains": "twice"}, "a domain stands twice"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(
    file: Path, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    whole = json.loads(file.read_text(encoding="utf-8"))
    document = {**whole, **change}
    if document["domains"] == "twice":
        document["domains"] = whole["domains"] * 2
    (tmp_path / "policy.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        Policy.load(tmp_path / "policy.json")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: d["logits"]["concepts"].pop(), "9 logits for 10 concepts"),
        (lambda d: d["relationships"].pop("qubits"), "name different concepts"),
        (lambda d: d["relationships"]["qubits"].append("tea"), "'tea', which is not in features"),
        (lambda d: d["logits"]["concepts"].__setitem__(0, 1e17), "a logit is beyond"),
        (lambda d: d["templates"].__setitem__(0, "{konzept}"), "is not a placeholder"),
    ],
)
def test_a_domain_that_does_not_fit_itself_is_refused(
    file: Path, tmp_path: Path, damage: object, words: str
) -> None:
    document = json.loads(file.read_text(encoding="utf-8"))
    assert callable(damage)
    damage(document["domains"][0])
    (tmp_path / "policy.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        Policy.load(tmp_path / "policy.json")


def test_a_run_that_is_not_there_gets_a_hint(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "support--mistral-small--20261126-1013-490b"
    run.mkdir(parents=True)
    (run / "checkpoints").mkdir()
    for name in ("config.json", "inputs.json"):
        (run / name).write_text("{}", encoding="utf-8")
    (run / "policy.json").write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)

    assert Policy.load("490b").plan(TEXT, seed=1) == Policy.load(run).plan(TEXT, seed=1)
    with pytest.raises(UsageError, match="Did you mean 'support'"):
        Policy.load("suport")
    with pytest.raises(UsageError, match=r"nothing\.json"):
        Policy.load("nothing.json")
