"""What every fault of the wire contract must look like, written down apart from the stand-in."""

from collections.abc import Callable
from typing import Any

#: name -> status, part of the message, what metadata holds
ERRORS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "invalid_model": (400, "is not a valid model ID", {}),
    "bad_request": (400, "Provider returned error", {"provider_name": "StandIn"}),
    "context_length": (400, "maximum context", {"error_type": "context_length_exceeded"}),
    "content_policy": (400, "Provider", {"error_type": "content_policy_violation"}),
    "validation": (400, 'Input required: specify "prompt" or "messages"', {}),
    "unauthorized": (401, "User not found.", {}),
    "credits": (402, "Insufficient credits", {"limit_source": "openrouter_credits"}),
    "afford": (402, "can only afford", {}),
    "weight": (402, "", {"reason": "weight_exceeds_budget"}),
    "key_limit_402": (402, "", {"limit_source": "openrouter_key_limit"}),
    "in_flight": (
        402,
        "",
        {
            "limit_source": "openrouter_in_flight_budget",
            "reason": "in_flight_budget_exhausted",
        },
    ),
    "key_limit": (403, "Key limit exceeded (monthly limit)", {}),
    "moderation": (403, "requires moderation", {"reasons": ["violence"]}),
    "guardrail": (403, "", {"patterns": ["email"]}),
    "model_gone": (404, "No endpoints found for mistralai/", {}),
    "no_endpoints": (404, "No endpoints found that can handle the requested parameters.", {}),
    "timeout": (408, "Operation timed out", {}),
    "too_large": (413, "Request payload too large", {}),
    "unprocessable": (422, "Invalid argument", {}),
    "rate_minute": (
        429,
        "free-models-per-min. ",
        {"limit_source": "openrouter_free_tier_per_minute"},
    ),
    "rate_daily": (
        429,
        "free-models-per-day. Add 10 credits",
        {"limit_source": "openrouter_free_tier_daily"},
    ),
    "rate_upstream": (
        429,
        "Provider returned error",
        {"limit_source": "upstream_provider_shared_pool", "retry_after_seconds": 7},
    ),
    "server": (500, "", {"error_type": "server"}),
    "bad_gateway": (502, "Provider returned error", {"raw": "upstream connect error"}),
    "unavailable": (503, "no available model provider", {}),
    "gateway_timeout": (504, "", {"error_type": "timeout"}),
    "edge_timeout": (524, "", {}),
    "overloaded": (529, "Provider", {"headers": {"Retry-After": "7"}}),
}
#: What ``errors`` in a shape of their own, pages, answers and wires bring is told below.
PAGES = {"html_403": 403, "html_429": 429, "html_502": 502, "html_200": 200}
RETRY_AFTER = {"in_flight", "unavailable"}


def finished(reason: str | None, content: object) -> Callable[[Any], bool]:
    """Whether the one choice ended so, with this content; a type stands for any of it."""

    def matches(found: Any) -> bool:
        choice = found["choices"][0]
        text = choice["message"]["content"]
        fits = isinstance(text, content) if isinstance(content, type) else text == content
        return choice["finish_reason"] == reason and fits

    return matches


#: name -> whether the JSON is as documented, whether it is billed
ANSWERS: dict[str, tuple[Callable[[Any], bool], bool]] = {
    "error_200": (lambda j: "choices" not in j and j["error"]["code"] == 502, False),
    "error_200_nulls": (
        lambda j: j["choices"] is None and j["id"] is None and j["error"]["code"] == 429,
        False,
    ),
    "error_200_daily": (lambda j: "per-day" in j["error"]["message"], False),
    "choices_null": (lambda j: j["choices"] is None and "error" not in j, False),
    "choices_missing": (lambda j: "choices" not in j and "error" not in j, False),
    "choices_empty": (lambda j: j["choices"] == [], False),
    "nested_provider": (
        lambda j: j["choices"] is None and finished("stop", str)(j["provider"]),
        True,
    ),
    "choice_error": (
        lambda j: finished("error", str)(j) and j["choices"][0]["error"]["code"] == 502,
        False,
    ),
    "finish_error": (
        lambda j: finished("error", str)(j) and "error" not in j["choices"][0],
        False,
    ),
    "empty": (
        lambda j: finished(None, "")(j) and j["usage"]["completion_tokens"] == 0,
        False,
    ),
    "null_content": (finished("stop", None), True),
    "length": (finished("length", str), True),
    "reasoned_out": (
        lambda j: finished("length", "")(j) and j["choices"][0]["message"]["reasoning"],
        True,
    ),
    "content_filter": (finished("content_filter", ""), True),
    "refusal": (
        lambda j: finished("stop", None)(j) and j["choices"][0]["message"]["refusal"],
        True,
    ),
    "content_parts": (finished("stop", list), True),
    "unknown_finish": (finished("pause_turn", str), True),
    "fenced_json": (lambda j: "```json\n" in j["choices"][0]["message"]["content"], True),
    "bad_json": (finished("stop", str), True),
    "no_usage": (lambda j: "usage" not in j, True),
    "other_model": (lambda j: j["model"].startswith("meta-llama/llama-3.1-8b"), True),
    "cost_missing": (lambda j: "cost" not in j["usage"], True),
    "cost_null": (lambda j: j["usage"]["cost"] is None, True),
    "cost_string": (lambda j: float(j["usage"]["cost"]) > 0, True),
    "cost_nan": (lambda j: j["usage"]["cost"] != j["usage"]["cost"], True),
    "cost_negative": (lambda j: j["usage"]["cost"] == -1, True),
}
#: Their own tests follow.
WIRES = {"padded", "drip", "slow", "truncated_json", "short_body", "reset", "empty_body", "sse"}
OTHERS = {"no_code", "zod", "reset_early"}
#: Refusals of real validation, and what the contract mentions in passing.
BESIDE = {
    "bad_body": 400,
    "no_model": 400,
    "reasoning_mandatory": 400,
    "no_key": 401,
    "guardrail_budget": 403,
    "workspace_budget": 403,
    "data_policy": 404,
    "no_generation": 404,
    "no_route": 404,
}
