"""Section 4.3 of the wire contract: everything that arrives under status 200."""

import copy
import json
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.wire.answers import classify, same_model, transport_failure
from shared.wire.faults import RULES
from shared.wire.verdicts import Answer, Classified

NOW = 1_795_456_800.0
#: Recorded on the live service.
LIVE: dict[str, Any] = json.loads("""
{"id":"gen-1779474931-w20BCAngQY7SOa9Zs5L4","object":"chat.completion","created":1779474931,
 "model":"google/gemma-4-26b-a4b-it-20260403","provider":"Cloudflare","system_fingerprint":null,
 "service_tier":null,
 "choices":[{"index":0,"logprobs":null,"finish_reason":"stop","native_finish_reason":"stop",
   "message":{"role":"assistant","content":"ok","refusal":null,"reasoning":"...",
     "reasoning_details":[{"type":"reasoning.text","text":"...","format":"unknown","index":0}]}}],
 "usage":{"prompt_tokens":23,"completion_tokens":60,"total_tokens":83,"cost":2.03e-05,
   "is_byok":false,"prompt_tokens_details":{"cached_tokens":0},
   "cost_details":{"upstream_inference_cost":2.03e-05},
   "completion_tokens_details":{"reasoning_tokens":57}}}
""")
REMOVED = object()
FAILED = {"code": 502, "message": "Provider returned error"}
PARTS = [{"type": "text", "text": "o"}, {"type": "reasoning", "text": "hm"}, {"text": "k"}]


def varied(**changes: Any) -> dict[str, Any]:
    """The live answer, changed by dotted path: ``choice__message__content=None``."""
    body = copy.deepcopy(LIVE)
    for path, value in changes.items():
        first, *rest = path.split("__")
        place: Any = {"choice": body["choices"][0], "body": body, "usage": body["usage"]}[first]
        for step in rest[:-1]:
            place = place[step]
        if value is REMOVED:
            del place[rest[-1]]
        else:
            place[rest[-1]] = value
    return body


class Case(NamedTuple):
    fault: str
    body: object
    #: verdict, scope, kind, billed, and "throttled".
    expected: str
    text: str = ""
    #: Whether a retry may be answered from the response cache.
    replay: bool = True


GOOD = "completion request upstream yes"
RETRY = "retry request upstream"
ALONE = "retry request reasoned_out yes"
STOPPED: dict[str, Any] = {"choice__message__content": ""}

CASES = [
    Case("ok", LIVE, GOOD, "ok"),
    Case("ok", varied(body__model="other/model"), GOOD, "ok"),
    Case("ok", b"\n\n  \n\n" + json.dumps(LIVE).encode(), GOOD, "ok"),
    Case("bad_gateway", {"error": FAILED}, f"{RETRY} no"),
    Case("rate_limited", {"id": None, "choices": None, "usage": None,
         "error": {"code": 429, "message": "slow"}}, "retry account rate_limited no throttled"),
    Case("rate_daily", {"error": {"code": 429, "message": "free-models-per-day"}},
         "stop account rate_limited no throttled"),
    Case("choices_null", {"id": "x", "choices": None}, f"{RETRY} perhaps", replay=False),
    Case("choices_missing", {"id": "x"}, f"{RETRY} perhaps", replay=False),
    Case("choices_empty", {"id": "x", "choices": []}, f"{RETRY} perhaps", replay=False),
    Case("nested_provider", {"id": None, "choices": None, "provider": LIVE}, GOOD, "ok"),
    Case("choice_error", varied(choice__error=FAILED, choice__finish_reason="error",
         usage__cost=REMOVED), f"{RETRY} no", replay=False),
    Case("choice_error", varied(choice__error={"code": 529, "message": ""}, usage__cost=0),
         "retry model upstream no throttled", replay=False),
    Case("choice_error", varied(choice__error={"code": 401, "message": ""}, usage__cost=0),
         f"{RETRY} no", replay=False),
    Case("finish_error", varied(choice__finish_reason="error", usage__cost=0), f"{RETRY} no",
         replay=False),
    Case("empty", varied(**STOPPED, choice__finish_reason=None, usage__completion_tokens=0,
         usage__cost=0), f"{RETRY} no", replay=False),
    Case("null_content", varied(choice__message={"content": None}), f"{RETRY} yes", replay=False),
    Case("null_content", varied(choice__message={"content": ""}, usage__cost=REMOVED),
         f"{RETRY} yes", replay=False),
    Case("null_content", varied(choice__message="?"), f"{RETRY} yes", replay=False),
    Case("reasoning_alone", varied(choice__message__content=None), ALONE, replay=False),
    Case("reasoning_alone", varied(choice__message={"content": "", "reasoning_content": "Hm."}),
         ALONE, replay=False),
    Case("reasoning_alone", varied(choice__message={"content": "<think>Hm."}), ALONE, replay=False),
    Case("reasoned_out", varied(choice__message={"content": "<think>Hm."},
         choice__finish_reason="length"), "reject request reasoned_out yes", replay=False),
    Case("ok", varied(choice__message={"content": "<think>Hm.</think>\n\nok"}), GOOD, "ok"),
    Case("content_parts", varied(choice__message={"content": [{"type": "thinking",
         "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "ok"}]}),
         GOOD, "ok"),
    Case("tool_call_alone", varied(choice__message={"content": None, "tool_calls": [{"id": "1"}]},
         choice__finish_reason="tool_calls"), f"{RETRY} yes", replay=False),
    Case("tool_call_alone", varied(choice__message={"function_call": {"name": "look"}}),
         f"{RETRY} yes", replay=False),
    Case("legacy_text", varied(choice__message=None, choice__text="ok"),
         "reject request upstream yes", replay=False),
    Case("length", varied(choice__finish_reason="length"), GOOD, "ok"),
    Case("reasoned_out", varied(**STOPPED, choice__finish_reason="length"),
         "reject request reasoned_out yes", replay=False),
    Case("content_filter", varied(**STOPPED, choice__finish_reason="content_filter"), GOOD),
    Case("refusal", varied(choice__message__content=None, choice__message__refusal="No."), GOOD),
    Case("content_parts", varied(choice__message__content=PARTS), GOOD, "ok"),
    Case("unknown_finish", varied(choice__finish_reason="pause_turn"), GOOD, "ok"),
    Case("no_usage", varied(body__usage=REMOVED), "completion request upstream perhaps", "ok"),
    Case("truncated_json", json.dumps(LIVE).encode()[:200], f"{RETRY} perhaps"),
    Case("empty_body", b"", f"{RETRY} perhaps"),
    Case("empty_body", b"\n\n", f"{RETRY} perhaps"),
    Case("html_200", b"\n<html>hello</html>", f"{RETRY} perhaps"),
    Case("sse", b": OPENROUTER PROCESSING\n\ndata: {}\n\n", f"{RETRY} perhaps"),
    Case("sse", b'data: {"choices":[]}\n\ndata: [DONE]\n\n', f"{RETRY} perhaps"),
    Case("garbled", b"[1]", f"{RETRY} perhaps"),
    Case("garbled", b"\xff\xfe", f"{RETRY} perhaps"),
    Case("garbled", {"choices": ["ok"]}, f"{RETRY} perhaps"),
]  # fmt: skip


def classified(body: object, **headers: str) -> Classified:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(200, headers, raw, NOW)


def answered(body: object, **headers: str) -> Answer:
    answer = classified(body, **headers).answer
    assert answer is not None
    return answer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_every_answer_under_status_200_has_its_verdict(case: Case) -> None:
    found = classified(case.body)

    throttled = ["throttled"] if found.throttled else []
    summary = " ".join([found.verdict, found.scope, found.kind, found.billed, *throttled])
    assert (found.fault, summary, found.replay) == (case.fault, case.expected, case.replay)
    assert (found.answer.text if found.answer else "") == case.text


def test_a_live_answer_is_read_whole() -> None:
    assert answered(LIVE) == Answer(
        text="ok",
        reasoned=True,
        characters=5,
        refusal=False,
        model="google/gemma-4-26b-a4b-it-20260403",
        provider="Cloudflare",
        finish_reason="stop",
        native_finish_reason="stop",
        prompt_tokens=23,
        completion_tokens=60,
        cost_usd=2.03e-05,
        generation_id="gen-1779474931-w20BCAngQY7SOa9Zs5L4",
        cache_hit=False,
        source_id="",
        truncated=False,
    )


def test_outcomes_of_the_policy_are_flagged() -> None:
    assert answered(varied(choice__finish_reason="length")).truncated
    refused = answered(varied(choice__message__content=None, choice__message__refusal="No."))
    assert (refused.refusal, refused.text) == (True, "")
    assert not answered(varied(choice__message__refusal="")).refusal


@pytest.mark.parametrize(
    ("said", "cost_usd"),
    [
        ("0.5", 0.5),
        (0, 0.0),
        (3, 3.0),
        (REMOVED, None),
        (None, None),
        ("free", None),
        ("NaN", None),
        (float("nan"), None),
        (float("inf"), None),
        (-1, None),
        ("-1", None),
        (True, None),
        ([], None),
        (10**400, None),
    ],
)
def test_a_cost_that_is_no_amount_is_unknown_and_never_0(said: Any, cost_usd: float | None) -> None:
    assert answered(varied(usage__cost=said)).cost_usd == cost_usd


@pytest.mark.parametrize("said", [None, -1, "many", True, float("nan"), 1e300, REMOVED])
def test_tokens_that_are_no_count_are_unknown(said: Any) -> None:
    assert answered(varied(usage__completion_tokens=said)).completion_tokens is None


def test_an_answer_from_the_cache_is_free_and_names_its_source() -> None:
    hit = {"X-OpenRouter-Cache-Status": "HIT", "X-OpenRouter-Cache-Source-Id": "gen-1"}
    unpriced = classified(varied(usage__cost=REMOVED), **hit)
    assert unpriced.answer is not None
    assert (unpriced.answer.cache_hit, unpriced.answer.source_id) == (True, "gen-1")
    assert (unpriced.answer.cost_usd, unpriced.billed) == (0.0, "no")
    assert not answered(LIVE, **{"x-openrouter-cache-status": "MISS"}).cache_hit


def test_an_answer_that_is_discarded_keeps_its_cost_and_loses_its_text() -> None:
    found = classified(varied(choice__error=FAILED))
    assert found.answer is not None
    assert (found.answer.text, found.answer.cost_usd, found.billed) == ("", 2.03e-05, "yes")


def test_half_characters_become_question_marks() -> None:
    assert answered(varied(choice__message__content="a\ud83d")).text == "a?"


def test_a_nest_too_deep_to_read_is_a_broken_answer() -> None:
    assert classified(b'{"a":' * 100_000).fault == "truncated_json"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "error", "code", "message", "metadata", "headers", "retry-after", "choices", "usage",
            "cost", "finish_reason", "content", "provider", "text", "type", "availability",
            "retry_after", "limit_source", "raw", "detail", "refusal", "user_id", "resets_at",
        ]),
        inner, max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "X-RateLimit-Reset", "content-type", "X-Generation-Id"]),
    st.text(max_size=30)
    | st.floats().map(str)
    | st.sampled_from(["Mon, 32 Foo 99999 99:99:99 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"]),
)


def check_sane(found: Classified) -> None:
    assert found.fault in RULES
    assert found.wait_s is None or 0 <= found.wait_s <= 86400
    assert len(found.message) < 1200
    assert (found.verdict == "completion") <= (found.answer is not None)
    if found.answer is not None:
        found.answer.text.encode()
        assert found.answer.cost_usd is None or 0 <= found.answer.cost_usd < float("inf")


@given(st.integers(-5, 1200), HEADERS, st.binary(max_size=200))
def test_any_bytes_get_a_verdict(status: int, headers: dict[str, str], body: bytes) -> None:
    check_sane(classify(status, headers, body, NOW))


@given(
    st.sampled_from([200, 201, 204, 302, 400, 401, 402, 403, 404, 429, 500, 502, 503]),
    HEADERS,
    JSON,
    st.sampled_from(["", "error", "choices", "choice", "usage", "provider"]),
)
def test_any_json_gets_a_verdict(
    status: int, headers: dict[str, str], value: object, place: str
) -> None:
    body = copy.deepcopy(LIVE)
    if place == "choice":
        body["choices"] = [value]
    elif place:
        body[place] = value
    raw = json.dumps(body if place else value).encode()
    check_sane(classify(status, headers, raw, NOW))


@pytest.mark.parametrize(
    ("error", "fault", "kind"),
    [
        (TimeoutError("Bearer sk-or-v1-secret"), "no_answer", "timeout"),
        (ConnectionResetError("Bearer sk-or-v1-secret"), "connection", "connection"),
        (ValueError("Illegal header value b'Bearer sk-or-v1-secret'"), "connection", "connection"),
    ],
)
def test_a_failure_of_the_transport_names_only_its_class(
    error: Exception, fault: str, kind: str
) -> None:
    found = transport_failure(error)
    assert (found.verdict, found.fault, found.kind) == ("retry", fault, kind)
    assert (found.billed, found.replay, found.throttled) == ("perhaps", True, False)
    assert type(error).__name__ in found.message
    assert "secret" not in found.message


@pytest.mark.parametrize(
    ("asked", "served", "same"),
    [
        ("google/gemma-4-26b-a4b-it:free", "google/gemma-4-26b-a4b-it-20260403", True),
        ("a/b", "a/b-2026-10-07", True),
        ("a/b", "a/b", True),
        ("qwen:3b", "qwen:3b", True),
        ("a/b", "", True),
        ("openai/gpt-4o", "openai/gpt-4o-mini", False),
        ("a/b", "c/b", False),
    ],
)
def test_a_dated_snapshot_is_the_same_model(asked: str, served: str, same: bool) -> None:
    assert same_model(asked, served) is same
