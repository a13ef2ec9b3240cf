"""Section 4.2 of the wire contract: every error by name, under its own status and inside a 200."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messages import FailureKind
from shared.wire.answers import classify
from shared.wire.errors import classify_error
from shared.wire.faults import BLOCK_FAULTS, BREAKER_FAULTS, RULES
from shared.wire.verdicts import Billed, Classified

NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC).timestamp()
KEY = "sk-or-v1-" + "0123456789abcdef" * 4
PAGE = b"<!DOCTYPE html><html><title>Attention Required! | Cloudflare</title></html>"

UPSTREAM: dict[str, Any] = {"raw": '{"detail":"no"}', "provider_name": "Groq", "is_byok": False}
IN_FLIGHT = "openrouter_in_flight_budget"
SHARED_POOL = "upstream_provider_shared_pool"
STOP = "stop account rejected no"
REJECTED = "reject request rejected no"


class Case(NamedTuple):
    fault: str
    status: int
    message: str
    metadata: dict[str, Any] | None
    #: verdict, scope, kind, billed, and "throttled" if it should cut concurrency.
    expected: str
    wait_s: float | None = None
    headers: Mapping[str, str] = MappingProxyType({})


CASES = [
    Case("invalid_model", 400, "x/y is not a valid model ID", None, "stop model rejected no"),
    Case("bad_request", 400, "Provider returned error", UPSTREAM, REJECTED),
    Case("context_length", 400, "This endpoint's maximum context length is 8192 tokens.",
         {"error_type": "context_length_exceeded"}, REJECTED),
    Case("context_length", 400, "Provider returned error",
         UPSTREAM | {"raw": "maximum context length"}, REJECTED),
    Case("content_policy", 400, "Provider returned error",
         UPSTREAM | {"error_type": "content_policy_violation"}, "reject request moderated no"),
    Case("validation", 400, 'Input required: specify "prompt" or "messages"', None, REJECTED),
    Case("unauthorized", 401, "User not found.", None, STOP),
    Case("credits", 402, "Insufficient credits. Add more.", None, STOP),
    Case("afford", 402, "This request requires more credits, or fewer max_tokens. You requested "
         "up to 65536 tokens, but can only afford 3919.",
         {"limit_source": "openrouter_credits"}, STOP),
    Case("weight", 402, "Request weight exceeds the budget",
         {"limit_source": IN_FLIGHT, "reason": "weight_exceeds_budget"}, STOP),
    Case("key_limit_402", 402, "This key cannot pay for the request",
         {"limit_source": "openrouter_key_limit"}, STOP),
    Case("in_flight", 402, "In-flight spending budget exhausted",
         {"limit_source": IN_FLIGHT, "reason": "in_flight_budget_exhausted"},
         "retry account rate_limited no throttled", 3.0, {"Retry-After": "3"}),
    Case("key_limit", 403, "Key limit exceeded (monthly limit).", None, STOP),
    Case("key_limit", 403, "Budget exceeded", {"limit_source": "openrouter_workspace_budget",
         "resets_at": "2026-12-01T00:00:00Z"}, STOP),
    Case("moderation", 403, "Input was flagged",
         {"reasons": ["violence"], "flagged_input": "private words"},
         "reject request moderated no"),
    Case("guardrail", 403, "Blocked by a guardrail", {"patterns": ["ssn"]},
         "reject request moderated no"),
    Case("forbidden", 403, "Not in your region", None, REJECTED),
    Case("model_gone", 404, "No endpoints found for x/y.", None, "stop model rejected no"),
    Case("no_endpoints", 404, "No endpoints found that can handle the requested parameters.",
         None, "stop model rejected no"),
    Case("no_endpoints", 404, "No endpoints found matching your data policy", None,
         "stop model rejected no"),
    Case("not_found", 404, 'model "x" not found', None, STOP),
    Case("timeout", 408, "Operation timed out", None, "retry request timeout perhaps"),
    Case("too_large", 413, "Request payload too large", None, REJECTED),
    Case("unprocessable", 422, "Invalid argument", None, REJECTED),
    Case("rate_minute", 429, "Rate limit exceeded: free-models-per-min. ",
         {"limit_source": "openrouter_free_tier_per_minute",
          "headers": {"X-RateLimit-Reset": str(int(NOW + 17) * 1000)}},
         "retry account rate_limited no throttled", 17.0),
    Case("rate_daily", 429, "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock",
         {"limit_source": "openrouter_free_tier_daily"},
         "stop account rate_limited no throttled", 6 * 3600.0, {"Retry-After": "60"}),
    Case("rate_upstream", 429, "Provider returned error",
         UPSTREAM | {"limit_source": SHARED_POOL, "retry_after_seconds": 7},
         "retry model rate_limited no throttled", 7.0),
    Case("rate_limited", 429, "Slow down", None, "retry account rate_limited no throttled"),
    Case("server", 500, "Internal Server Error", {"error_type": "server"},
         "retry request upstream no"),
    Case("bad_gateway", 502, "Provider returned error", UPSTREAM, "retry request upstream no"),
    Case("unavailable", 503, "No provider available", None, "retry model upstream no", 2.0,
         {"retry-after": "2"}),
    Case("gateway_timeout", 504, "Timed out", {"error_type": "timeout"},
         "retry request timeout perhaps"),
    Case("edge_timeout", 524, "Edge timeout", None, "retry request timeout perhaps"),
    Case("overloaded", 529, "Overloaded", None, "retry model upstream no throttled"),
]  # fmt: skip

PAGES = [
    ("html_403", 403, "retry account rate_limited no", 60.0),
    ("html_429", 429, "retry account rate_limited no throttled", 60.0),
    ("html_502", 502, "retry request upstream perhaps", None),
    ("server", 500, "retry request upstream perhaps", None),
    ("unavailable", 503, "retry model upstream perhaps", None),
    ("unauthorized", 401, "stop account rejected no", None),
    ("not_found", 404, "stop account rejected no", None),
    ("redirect", 308, "stop account rejected no", None),
    ("refused", 418, "reject request rejected no", None),
    ("unknown_status", 999, "retry request upstream perhaps", None),
]


def summary(found: Classified) -> str:
    throttled = ["throttled"] if found.throttled else []
    return " ".join([found.verdict, found.scope, found.kind, found.billed, *throttled])


def envelope(case: Case) -> dict[str, Any]:
    error: dict[str, Any] = {"code": case.status, "message": case.message}
    if case.metadata is not None:
        error["metadata"] = case.metadata
    return {"error": error, "user_id": "user_2abcdefGHIJKLmnopqrst"}


def classified(status: int, payload: object, **headers: str) -> Classified:
    return classify(status, headers, json.dumps(payload).encode(), NOW)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.fault}-{case.message[:12]}")
@pytest.mark.parametrize("inside_200", [False, True], ids=["own-status", "inside-200"])
def test_an_error_has_its_verdict_under_its_own_status_and_inside_a_200(
    case: Case, inside_200: bool
) -> None:
    status = 200 if inside_200 else case.status
    found = classify(status, case.headers, json.dumps(envelope(case)).encode(), NOW)

    assert found.fault == case.fault
    assert summary(found) == case.expected
    assert found.wait_s == case.wait_s
    assert str(case.status) in found.message
    assert "user_2abc" not in found.message
    assert "private words" not in found.message


@pytest.mark.parametrize(("fault", "status", "expected", "wait_s"), PAGES)
def test_a_page_instead_of_json_has_its_verdict(
    fault: str, status: int, expected: str, wait_s: float | None
) -> None:
    found = classify(status, {"content-type": "text/html"}, PAGE, NOW)

    assert (found.fault, summary(found), found.wait_s) == (fault, expected, wait_s)
    assert "<" not in found.message


def test_an_error_without_code_goes_by_http_status_then_status_then_type() -> None:
    limited = {"message": "Rate limit exceeded", "availability": {"retry_after": 4}}
    assert classified(200, {"error": {**limited, "http_status": 429}}).fault == "rate_limited"
    assert classified(429, {"error": limited}).wait_s == 4
    assert classified(200, {"error": {"code": "rate_limit_exceeded"}}).fault == "rate_limited"
    assert classified(200, {"error": {"code": "503", "message": "x"}}).fault == "unavailable"
    assert classified(200, {"error": "x"}).fault == "error_200"
    assert classified(200, {"error": "x"}).verdict == "retry"


@pytest.mark.parametrize(
    ("status", "payload", "fault"),
    [
        (400, {"success": False, "error": {"name": "ZodError", "message": "[...]"}}, "validation"),
        (200, {"success": False, "error": {"name": "ZodError", "message": "[...]"}}, "validation"),
        (404, {"error": "model 'qwen' not found, try pulling it first"}, "not_found"),
        (404, {"detail": "Not Found"}, "not_found"),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "unprocessable"),
        (400, {"object": "error", "message": "too long", "code": 400}, "validation"),
        (503, {"error": {"code": 503, "message": "Loading model"}}, "unavailable"),
        (429, {"error": {"code": "insufficient_quota", "message": "no quota"}}, "credits"),
        (404, {"error": {"message": "Provider returned error", "metadata": UPSTREAM}},
         "bad_request"),
    ],
)  # fmt: skip
def test_errors_of_other_servers_are_understood(status: int, payload: object, fault: str) -> None:
    found = classified(status, payload)
    assert found.fault == fault


def test_a_refusal_of_fastapi_names_the_field() -> None:
    said = {
        "type": "extra_forbidden",
        "loc": ["body", "max_tokens"],
        "msg": "Extra inputs",
        "in": 5,
    }
    assert classified(422, {"detail": [said]}).message.endswith("(422: max_tokens: Extra inputs)")


def test_a_stop_says_what_to_do_and_quotes_the_server() -> None:
    unauthorized = classified(401, {"error": {"code": 401, "message": "User not found."}})
    assert unauthorized.message == (
        "The key was refused. Set a valid OPENROUTER_API_KEY on every worker, then resume the run."
        " (401: User not found.)"
    )
    daily = next(case for case in CASES if case.fault == "rate_daily")
    assert "until 2026-11-24 00:00 UTC" in classified(429, envelope(daily)).message
    budget = next(case for case in CASES if "resets_at" in (case.metadata or {}))
    assert "resets at 2026-12-01T00:00:00Z" in classified(403, envelope(budget)).message
    for fault, rule in RULES.items():
        if rule.verdict == "stop":
            assert "then resume the run." in rule.says, fault


def test_what_a_provider_really_said_is_quoted_in_short() -> None:
    metadata = UPSTREAM | {"raw": "top_k is\nnot supported" + " really" * 100}
    error = {"code": 400, "message": "Provider returned error", "metadata": metadata}
    found = classified(400, {"error": error})
    assert "[Groq] top_k is not supported really" in found.message
    assert len(found.message) < 400


def at(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


def epoch_ms(seconds: float) -> str:
    return str(int((NOW + seconds) * 1000))


@pytest.mark.parametrize(
    ("headers", "fields", "wait_s"),
    [
        ({"Retry-After": "5", "X-RateLimit-Reset": epoch_ms(9)}, {}, 5),
        ({"RETRY-AFTER": at(30)}, {"metadata": {"retry_after_seconds": 4}}, 30),
        ({}, {"metadata": {"retry_after_seconds": 4, "headers": {"retry-after": "8"}}}, 4),
        ({}, {"availability": {"retry_after": 6}, "metadata": {"headers": {"retry-after": "8"}}},
         6),
        ({"X-RateLimit-Reset": epoch_ms(9)}, {"metadata": {"headers": {"retry-after": "8"}}}, 8),
        ({"X-RateLimit-Reset": epoch_ms(9)}, {}, 9),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": epoch_ms(9)}}}, 9),
        ({"X-RateLimit-Reset": epoch_ms(-9)}, {}, 0),
        ({"Retry-After": at(-30)}, {}, 0),
        ({"Retry-After": "1e12"}, {}, 86400),
        ({"Retry-After": "-5"}, {}, None),
        ({"Retry-After": "nan"}, {"metadata": {"retry_after_seconds": 4}}, 4),
        ({"Retry-After": "soon"}, {"metadata": None}, None),
        ({"X-RateLimit-Reset": "60"}, {}, None),
    ],
)  # fmt: skip
def test_the_first_sane_hint_is_the_wait(
    headers: dict[str, str], fields: dict[str, Any], wait_s: float | None
) -> None:
    found = classified(503, {"error": {"code": 503, "message": "", **fields}}, **headers)
    assert found.wait_s == (wait_s if wait_s is None else pytest.approx(wait_s))


@given(st.text(max_size=5000), st.text(max_size=40), st.sampled_from([400, 401, 429, 502]))
def test_no_message_holds_a_key_wherever_it_stands(before: str, after: str, status: int) -> None:
    said = f"{before} {KEY}{after}"
    metadata = {"raw": said, "provider_name": KEY}
    error = {"code": status, "message": f"Provider returned error {said}", "metadata": metadata}
    found = classify_error(status, {}, {"error": error, "user_id": KEY}, NOW)
    assert "0123456789" not in found.message
    assert found.message.isprintable()


def test_the_named_sets_of_faults_exist() -> None:
    assert RULES.keys() >= BREAKER_FAULTS | BLOCK_FAULTS
    assert all(RULES[fault].verdict == "reject" for fault in BREAKER_FAULTS)
    assert all(RULES[fault].billed in Billed for fault in RULES)
    assert {rule.kind for rule in RULES.values()} <= set(FailureKind)
