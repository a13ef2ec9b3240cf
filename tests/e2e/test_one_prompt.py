"""The same choice for the same text is the same prompt, byte for byte, whoever asks it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from orchestrator import Policy
from orchestrator.plans import Plan
from orchestrator.prompts import REPLY_AS_JSON
from tests.plain_endpoint import MODEL, Plain, plain_endpoint
from tests.running import only_run, orchestrator
from tests.serving import served

BASE = "Answer  in one\nparagraph. {concept} stays."
DOMAIN = """
name = "tax law"
concepts = ["income", "deductions", "exemptions"]
templates = ["{topic} rests on {concept}, as {feature} shows.", "First {concept}; then {feature}."]
[relationships]
income = ["wages"]
deductions = ["gifts"]
exemptions = ["income"]
"""
TEXTS = ["Explain tax law", "What is income  in tax law?\nBriefly. {feature} é"]
HELD_OUT = ["Is tax law hard?"]
#: Reward functions -> whether the model is asked for its own estimate.
REWARDS = {'["length", "quality"]': True, '["length", "structure"]': False}


class Trained(NamedTuple):
    """A run that has ended, the endpoint that it asked, and what it expects."""

    folder: Path
    endpoint: Plain
    self_report: bool

    @property
    def policy(self) -> Policy:
        return Policy.load(only_run(self.folder))


@pytest.fixture(scope="module", params=REWARDS, ids=["self-report", "text"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("one-prompt")
    (folder / "domain.toml").write_text(DOMAIN, encoding="utf-8")
    for name, texts in (("train", TEXTS), ("heldout", HELD_OUT)):
        lines = [json.dumps({"text": text}) + "\n" for text in texts]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    with plain_endpoint() as endpoint:
        ended = orchestrator(
            "run", "--data=train.jsonl", "--heldout=heldout.jsonl", "--domain=domain.toml",
            f"--model={MODEL}", "--steps=1", f"--set=reward_funcs={request.param}",
            f"--set=base_prompt={json.dumps(BASE)}", cwd=folder,
            OPENROUTER_BASE_URL=endpoint.url,
        )  # fmt: skip
        assert ended.code == 0, ended.err
        yield Trained(folder, endpoint, REWARDS[request.param])


def planned(policy: Policy, row: dict[str, Any]) -> Plan:
    """The plan with a rollout's choice."""
    chosen = (row["concepts"], row["template"], row["features"])
    templates = policy.document.domains[0].templates
    for seed in range(10_000):
        plan = policy.plan(row["prompt"], seed=seed)
        if (list(plan.concepts), templates.index(plan.template), list(plan.features)) == chosen:
            return plan
    raise AssertionError(f"no draw of {chosen}")


def test_training_and_held_out_prompts_are_the_plans(trained: Trained) -> None:
    asked = {
        body["user"].split("/", 1)[1]: body["messages"]
        for body in trained.endpoint.asked
        if "user" in body
    }
    text = (only_run(trained.folder) / "rollouts.jsonl").read_text(encoding="utf-8")
    rows = [row for row in map(json.loads, text.splitlines()) if row["concepts"]]

    assert {row["purpose"] for row in rows} == {"train", "eval"}
    for row in rows:
        plan = planned(trained.policy, row)
        name = f"s{row['step']:03d}/{row['group']}/k{row['slot']}/generate"
        assert plan.messages == asked[name]
        assert plan.self_report == trained.self_report


def test_only_a_reward_that_reads_it_has_the_model_asked_for_its_own_estimate(
    trained: Trained,
) -> None:
    systems = {
        body["messages"][0]["content"]
        for body in trained.endpoint.asked
        if not body.get("user", "").startswith("question/")
    }

    assert systems == {f"{BASE}\n\n{REPLY_AS_JSON}" if trained.self_report else BASE}


def test_generate_asks_the_plan(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_BASE_URL", trained.endpoint.url)

    reply = trained.policy.generate(TEXTS[1], model=MODEL, seed=7)

    assert trained.endpoint.asked[-1]["messages"] == reply.plan.messages
    assert reply.plan.messages == trained.policy.plan(TEXTS[1], seed=7).messages
    assert reply.quality == (0.7 if trained.self_report else None)
    assert reply.text.startswith("Answer " if trained.self_report else '{"generated": "Answer ')


def test_the_prompt_alone_is_the_plan(trained: Trained) -> None:
    words = ("generate", "latest", TEXTS[1], "--seed=7", "--prompt-only")
    whole = orchestrator(*words, "--json", cwd=trained.folder, name="json")
    shown = orchestrator(*words, cwd=trained.folder, name="words")

    messages = trained.policy.plan(TEXTS[1], seed=7).messages
    assert json.loads(whole.out)["plan"]["messages"] == messages
    assert shown.out == "\n\n".join(message["content"] for message in messages) + "\n"


def test_an_exported_policy_gives_the_plan_to_any_reader(trained: Trained) -> None:
    ended = orchestrator("export", "latest", "-o", "p.json", cwd=trained.folder, name="export")
    assert ended.code == 0, ended.err
    exported = Policy.load(trained.folder / "p.json")

    document = json.loads((trained.folder / "p.json").read_text(encoding="utf-8"))
    (domain,) = document["domains"]
    for text in TEXTS + HELD_OUT:
        plan = trained.policy.plan(text, greedy=True)
        assert exported.plan(text, greedy=True).messages == plan.messages
        assert exported.plan(text, seed=3).messages == trained.policy.plan(text, seed=3).messages
        # As docs/policy.schema.json says: the longest phrase, not one of the greedy concepts.
        topic = "tax law"
        given = {"text": text, "topic": topic, "Topic": "Tax law"}
        user = "".join(
            piece if isinstance(piece, str) else given[piece["insert"]]
            for piece in domain["greedy"]["prompt"]
        )
        assert [document["base_prompt"], user] == [m["content"] for m in plan.messages]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_serve_asks_the_plan_and_answers_with_the_text(trained: Trained, stream: bool) -> None:
    sent = [{"role": "user", "content": TEXTS[1]}]
    with served(trained.policy, trained.endpoint.url) as server, server.client() as client:
        if stream:
            parts = client.chat.completions.create(model=MODEL, messages=sent, stream=True)  # type: ignore[call-overload]
            said = "".join(part.choices[0].delta.content or "" for part in parts)
        else:
            answer = client.chat.completions.create(model=MODEL, messages=sent)  # type: ignore[call-overload]
            said = answer.choices[0].message.content

    plan = trained.policy.plan(TEXTS[1], greedy=True)
    assert trained.endpoint.asked[-1]["messages"] == plan.messages
    assert said.startswith("Answer " if trained.self_report else '{"generated": "Answer ')
    assert said.endswith("example. " if trained.self_report else '"first"}')
