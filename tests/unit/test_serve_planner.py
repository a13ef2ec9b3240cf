"""What ``orchestrator serve`` does to a request, and to which it does nothing."""

import json
from typing import Any

import pytest

from orchestrator.config import RunConfig
from orchestrator.serve.errors import Refused
from orchestrator.serve.planner import Outgoing, Planner
from orchestrator.trained import Policy
from tests.languages import LANGUAGES
from tests.serving import PLANNED, UNKNOWN
from tests.standin_calls import MODEL
from tests.trained_policies import VERSION, policy_file, untrained

ASKED = {"role": "user", "content": PLANNED}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
HOSTILE = "Explain qubits \u202e\U0001f600 {topic} %s \x00"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(policy_file(tmp_path_factory.mktemp("policy"), RunConfig(model=MODEL)))


def planner(policy: Policy, model: str = "m/m", **options: Any) -> Planner:
    given = {"greedy": True, "seed": None, "follow_ups": False, **options}
    return Planner(policy, model, **given)


def sent(policy: Policy, wanted: bool = True, /, **fields: Any) -> Outgoing:
    body = json.dumps({"model": "m/m", "messages": [ASKED], **fields}).encode()
    return planner(policy).outgoing(body, wanted)


def messages(outgoing: Outgoing) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(outgoing.body)["messages"]
    return found


def test_a_question_gets_the_very_messages_of_its_plan(policy: Policy) -> None:
    plan = policy.plan(PLANNED, greedy=True)

    found = sent(policy)

    assert messages(found) == plan.messages
    assert ("JSON" in plan.messages[0]["content"]) is plan.self_report is True
    assert found.told["X-Concept-Grpo"] == "plan"
    assert found.told["X-Concept-Grpo-Domain"] == "quantum computing"
    assert found.told["X-Concept-Grpo-Concepts"] == ", ".join(plan.concepts)
    assert found.told["X-Concept-Grpo-Policy-Version"] == str(VERSION)
    (domain,) = (d for d in policy.document.domains if d.name == plan.domain)
    assert domain.templates[int(found.told["X-Concept-Grpo-Template"])] == plan.template


def test_a_single_domain_or_the_servers_own_takes_every_request(policy: Policy) -> None:
    unknown = json.dumps({"model": "m/m", "messages": [{"role": "user", "content": UNKNOWN}]})
    arts = [domain for domain, _, _ in LANGUAGES.values()][-1:]

    single = planner(untrained(arts)).outgoing(unknown.encode(), True)
    by_words = planner(untrained(arts, "words")).outgoing(unknown.encode(), True)
    named = planner(policy, domain="machine learning").outgoing(unknown.encode(), True)
    asked = json.dumps({"model": "m/m", "messages": [ASKED]}).encode()
    other = planner(policy, domain="machine learning").outgoing(asked, True)

    assert single.told["X-Concept-Grpo-Domain"] == "visual art"
    assert by_words.told["X-Concept-Grpo"] == "passthrough; reason=no-domain"
    assert named.told["X-Concept-Grpo-Domain"] == "machine learning"
    assert other.told["X-Concept-Grpo-Domain"] == "machine learning"


def test_the_callers_own_system_prompt_and_all_other_fields_stay(policy: Policy) -> None:
    fields: dict[str, Any] = {
        "temperature": 0.1,
        "max_tokens": 17,
        "n": 2,
        "stop": ["\n\n"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "response_format": {"type": "json_object"},
        "user": "é\ud800",
        "unknown": {"a": [1, 2.5, None, 10**30]},
    }
    system = {"role": "developer", "content": "Answer in French."}

    found = sent(policy, messages=[system, {**ASKED, "name": "Ann"}], **fields)

    asked = json.loads(found.body)
    first, last = asked.pop("messages")
    assert asked == {"model": "m/m", **fields}
    assert first == system
    assert last == {**policy.plan(PLANNED, greedy=True).messages[1], "name": "Ann"}
    assert found.stream


def test_text_in_parts_stays_in_parts(policy: Policy) -> None:
    parts = [
        {"type": "text", "text": "Explain how a qubit "},
        {"type": "text", "text": "differs from a bit", "cache_control": {"type": "ephemeral"}},
    ]

    (_, last) = messages(sent(policy, messages=[{"role": "user", "content": parts}]))

    first, second = last["content"]
    assert first == parts[0]
    assert second["cache_control"] == {"type": "ephemeral"}
    planned = policy.plan(PLANNED, greedy=True).messages[1]["content"]
    assert first["text"] + second["text"] == planned


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("no-domain", {"messages": [{"role": "user", "content": UNKNOWN}]}),
        ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("tools", {"functions": [{"name": "f"}]}),
        ("tools", {"messages": [ASKED, {"role": "tool", "content": "1"}, ASKED]}),
        ("not-only-text", {"messages": [{"role": "user", "content": [PICTURE]}]}),
        ("not-only-text", {"messages": [{"role": "user", "content": [PICTURE]}, ASKED]}),
        ("not-only-text", {"messages": [{"role": "user", "content": {"text": "qubit"}}]}),
        ("follow-up", {"messages": [ASKED, {"role": "assistant", "content": "…"}, ASKED]}),
        ("last-message-not-from-user", {"messages": [ASKED, {"role": "system", "content": "x"}]}),
        ("no-text", {"messages": [{"role": "user", "content": " "}]}),
        ("no-text", {"messages": [{"role": "user"}]}),
        ("no-text", {"messages": [{"role": "user", "content": "qubit \ud800"}]}),
        ("too-long", {"messages": [{"role": "user", "content": "qubit " * 4000}]}),
    ],
)
def test_what_the_policy_does_not_fit_keeps_its_bytes(
    policy: Policy, reason: str, fields: dict[str, Any]
) -> None:
    body = b"  " + json.dumps({"model": "m/m", "messages": [ASKED], **fields}).encode()

    found = planner(policy).outgoing(body, True)

    assert found.body == body
    assert found.told == {"X-Concept-Grpo": f"passthrough; reason={reason}"}


def test_a_caller_may_ask_for_no_plan(policy: Policy) -> None:
    assert sent(policy, False).told == {"X-Concept-Grpo": "passthrough; reason=asked"}


def test_later_turns_are_planned_where_that_was_asked_for(policy: Policy) -> None:
    turns = [ASKED, {"role": "assistant", "content": "…"}, {"role": "user", "content": PLANNED}]
    body = json.dumps({"messages": turns}).encode()

    found = messages(planner(policy, follow_ups=True).outgoing(body, True))

    assert found[1:3] == turns[:2]
    assert found[0]["role"] == "system"
    assert found[3] == policy.plan(PLANNED, greedy=True).messages[1]


@pytest.mark.parametrize("fields", [{}, {"model": None}, {"model": ""}, {"model": "concept-grpo"}])
@pytest.mark.parametrize("text", [PLANNED, UNKNOWN])
def test_our_own_name_and_none_mean_the_model_of_the_run(
    policy: Policy, text: str, fields: dict[str, Any]
) -> None:
    body = json.dumps({**fields, "messages": [{"role": "user", "content": text}]}).encode()

    assert json.loads(planner(policy).outgoing(body, True).body)["model"] == "m/m"
    with pytest.raises(Refused, match="--model"):
        planner(policy, model="").outgoing(body, True)


def test_a_list_of_models_is_the_callers_choice(policy: Policy) -> None:
    body = json.dumps({"models": ["a/b", "c/d"], "messages": [ASKED]}).encode()

    assert "model" not in json.loads(planner(policy, model="").outgoing(body, True).body)


def test_drawn_plans_repeat_with_the_servers_seed_and_with_the_requests(policy: Policy) -> None:
    body = json.dumps({"messages": [ASKED]}).encode()
    seeded = json.dumps({"messages": [ASKED], "seed": 11}).encode()

    def ten(drawing: Planner) -> list[bytes]:
        return [drawing.outgoing(body, True).body for _ in range(10)]

    first, again = (ten(planner(policy, greedy=False, seed=5)) for _ in range(2))
    assert first == again
    assert len(set(first)) > 1
    drawn = planner(policy, greedy=False, seed=5).outgoing(seeded, True)
    assert messages(drawn) == policy.plan(PLANNED, seed=11).messages
    for odd in (True, 1.5, "x", -3, 10**30):
        asked = json.dumps({"messages": [ASKED], "seed": odd}).encode()
        told = planner(policy, greedy=False).outgoing(asked, True).told
        assert told["X-Concept-Grpo"] == "plan"


def test_headers_are_ascii_whatever_the_names(policy: Policy) -> None:
    document = policy.document
    odd = document.domains[0].model_copy(update={"name": "Физика, 物理\r\nX-Evil: 1"})
    told = planner(Policy(document.model_copy(update={"domains": (odd,)}))).outgoing(
        json.dumps({"messages": [{"role": "user", "content": HOSTILE}]}).encode(), True
    )

    assert "plan: %D0" in told.note
    for text in told.told.values():
        assert text.isascii()
        assert text.isprintable()
    assert "%2C" in told.told["X-Concept-Grpo-Domain"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"messages": [], "temperature": NaN}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b"[]", "invalid_body"),
        (b"null", "invalid_body"),
        (b"{}", "no_messages"),
        (b'{"messages": {}}', "no_messages"),
        (b'{"messages": []}', "no_messages"),
        (b'{"messages": ["hi"]}', "invalid_message"),
        (b'{"messages": [{"content": "hi"}]}', "invalid_message"),
        (b'{"messages": [{"role": "user"}], "model": 3}', "invalid_model"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "top_p": 1e999}', "invalid_json"),
        (b'{"messages": [{"role": "user", "content": "qubits"}], "top_p": 1e999}', "invalid_json"),
    ],
)
def test_what_is_no_chat_request_is_refused(policy: Policy, body: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        planner(policy).outgoing(body, True)

    assert (refused.value.status, refused.value.code) == (400, code)
    error = json.loads(refused.value.reply.body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
