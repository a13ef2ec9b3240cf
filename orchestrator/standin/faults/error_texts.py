"""The words of the errors of section 4.2: status, message, metadata, and which waits they ask for.

``{model}`` and the like are filled in by ``errors``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

KEYS_PAGE = "https://openrouter.ai/settings/keys"
CREDITS_PAGE = "https://openrouter.ai/settings/credits"


class Hint(StrEnum):
    """A place where an error says when to come back."""

    #: Retry-After, in seconds.
    HEADER = "header"
    #: metadata.retry_after_seconds
    SECONDS = "seconds"
    #: metadata.headers["Retry-After"]
    INNER = "inner"
    #: X-RateLimit-Reset in epoch milliseconds, as a header and in metadata.headers.
    RESET = "reset"
    #: The same, at the next 00:00 UTC.
    MIDNIGHT = "midnight"


@dataclass(frozen=True, slots=True)
class ErrorText:
    """One error."""

    status: int
    message: str
    metadata: Mapping[str, Any]
    hints: tuple[Hint, ...] = ()
    #: The whole body, where it is not the usual envelope.
    body: Mapping[str, Any] | None = None
    html: bool = False
    stops: bool = False
    mixed: bool = True
    extra: bool = False
    says: str = ""


def _error(status: int, message: str, *hints: Hint, **metadata: Any) -> ErrorText:
    return ErrorText(status, message, metadata, hints)


def _stop(status: int, message: str, *hints: Hint, **metadata: Any) -> ErrorText:
    return ErrorText(status, message, metadata, hints, stops=True)


def _upstream(status: int, raw: str, *hints: Hint, **metadata: Any) -> ErrorText:
    named = {"raw": raw, "provider_name": "{provider}", "is_byok": False}
    return ErrorText(status, "Provider returned error", named | metadata, hints)


def _block(status: int, message: str, mixed: bool) -> ErrorText:
    says = f"a page of Cloudflare under status {status}"
    return ErrorText(status, message, {}, html=True, mixed=mixed, says=says)


def _refusals() -> dict[str, ErrorText]:
    """400, 401, 403, 404, 408, 413, 422."""
    return {
        "invalid_model": _stop(400, "{model} is not a valid model ID"),
        "bad_request": _upstream(
            400,
            '{"error":{"message":"Invalid value for a parameter","type":"invalid_request_error"}}',
            error_type="invalid_request",
        ),
        "context_length": _error(
            400,
            "This endpoint's maximum context length is {context} tokens. However, you requested "
            "about {requested} tokens ({prompt_tokens} of text input, {max_tokens} in the output). "
            "Please reduce the length of either one, or use the context-compression plugin.",
            error_type="context_length_exceeded",
        ),
        "content_policy": _upstream(
            400,
            "The prompt was rejected by the content policy of the provider.",
            error_type="content_policy_violation",
        ),
        "validation": _error(400, 'Input required: specify "prompt" or "messages"'),
        "unauthorized": _stop(401, "User not found."),
        "key_limit": _stop(
            403,
            f"Key limit exceeded (monthly limit). Manage it using {KEYS_PAGE}",
            limit_source="openrouter_key_limit",
            resets_at="{midnight}",
        ),
        "moderation": _error(
            403,
            "Your chosen model requires moderation and your input was flagged.",
            reasons=["violence"],
            flagged_input="Explain...",
            provider_name="{provider}",
            model_slug="{model}",
        ),
        "guardrail": _error(403, "Request blocked by a guardrail.", patterns=["email"]),
        "model_gone": _stop(404, "No endpoints found for {model}."),
        "no_endpoints": _stop(
            404,
            "No endpoints found that can handle the requested parameters.",
            routing_funnel={"endpoints": 2, "after_parameters": 0},
            failed_routing_step="parameters",
        ),
        "timeout": _error(408, "Operation timed out. Please try again later."),
        "too_large": _error(413, "Request payload too large"),
        "unprocessable": _error(422, "Invalid argument", error_type="unprocessable"),
    }


def _payments() -> dict[str, ErrorText]:
    """402: what a person must pay, and what only has to wait."""
    in_flight = "openrouter_in_flight_budget"
    return {
        "credits": _stop(
            402,
            f"Insufficient credits. Add more using {CREDITS_PAGE}",
            limit_source="openrouter_credits",
            remedy_hint="add_credits",
        ),
        "afford": _stop(
            402,
            "This request requires more credits, or fewer max_tokens. You requested up to "
            "{max_tokens} tokens, but can only afford {limit}. To increase, visit "
            f"{CREDITS_PAGE} and upgrade to a paid account",
            provider_name=None,
        ),
        "weight": _stop(
            402,
            "This request alone exceeds the in-flight spending budget of your account. "
            "Lower max_tokens or add credits.",
            limit_source=in_flight,
            reason="weight_exceeds_budget",
            remedy_hint="lower_max_tokens",
        ),
        "key_limit_402": _stop(
            402,
            "This request requires more credits than the limit of this key leaves. "
            f"Manage it using {KEYS_PAGE}",
            limit_source="openrouter_key_limit",
        ),
        "in_flight": _error(
            402,
            "Too many paid requests are running for your balance. Retry when some have finished.",
            Hint.HEADER,
            limit_source=in_flight,
            reason="in_flight_budget_exhausted",
            remedy_hint="retry_after",
        ),
    }


def _limits() -> dict[str, ErrorText]:
    """429."""
    return {
        "rate_minute": _error(
            429,
            "Rate limit exceeded: free-models-per-min. ",
            Hint.RESET,
            limit_source="openrouter_free_tier_per_minute",
            provider_name=None,
            error_type="rate_limit_exceeded",
        ),
        "rate_daily": _stop(
            429,
            "Rate limit exceeded: free-models-per-day. "
            "Add 10 credits to unlock 1000 free model requests per day",
            Hint.MIDNIGHT,
            limit_source="openrouter_free_tier_daily",
            provider_name=None,
            error_type="rate_limit_exceeded",
        ),
        "rate_upstream": _upstream(
            429,
            "{model} is temporarily rate-limited upstream. Please retry shortly.",
            Hint.SECONDS,
            limit_source="upstream_provider_shared_pool",
            error_type="rate_limit_exceeded",
        ),
        "no_code": ErrorText(
            429,
            "Rate limited",
            {},
            body={
                "error": {
                    "http_status": 429,
                    "message": "Rate limited",
                    "availability": {
                        "code": "rate_limited",
                        "retryable": True,
                        "retry_after": "{wait}",
                        "fallback_models": [],
                        "excluded_by": [],
                    },
                }
            },
            says="a 429 as documented, without error.code",
        ),
        # A block holds up the whole fleet for a minute: too much for a mixture.
        "html_403": _block(403, "Sorry, you have been blocked", mixed=False),
        "html_429": _block(429, "You are being rate limited", mixed=False),
    }


def _outages() -> dict[str, ErrorText]:
    """5xx."""
    overloaded = '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    return {
        "server": _error(500, "Internal Server Error", provider_code="***", error_type="server"),
        "bad_gateway": _upstream(502, "upstream connect error", error_type="provider_unavailable"),
        "html_502": _block(502, "Bad gateway", mixed=True),
        "unavailable": _error(
            503,
            "There is no available model provider that meets your routing requirements",
            Hint.HEADER,
            error_type="provider_unavailable",
        ),
        "gateway_timeout": _error(504, "Gateway timed out", error_type="timeout"),
        "edge_timeout": _error(524, "A timeout occurred", error_type="timeout"),
        "overloaded": _upstream(529, overloaded, Hint.INNER, error_type="provider_overloaded"),
    }


def _others() -> dict[str, ErrorText]:
    """What the contract mentions beside its tables, or what real validation says."""
    zod = '[{"code":"invalid_type","path":["messages"],"message":"Invalid input"}]'
    mandatory = "Reasoning is mandatory for this endpoint and cannot be disabled."
    return {
        "bad_body": _error(400, "Input must have at least 1 token."),
        "no_model": _stop(400, "No models provided"),
        "zod": ErrorText(
            400,
            "Invalid input",
            {},
            body={"success": False, "error": {"name": "ZodError", "message": zod}},
            says="a validation error without error.code",
        ),
        "reasoning_mandatory": _error(400, mandatory, error_type="invalid_request"),
        "no_key": _stop(401, "No cookie auth credentials found"),
        "guardrail_budget": _stop(
            403,
            "Guardrail budget exceeded (daily limit).",
            limit_source="openrouter_guardrail_budget",
            resets_at="{midnight}",
        ),
        "workspace_budget": _stop(
            403,
            "Workspace budget exceeded (monthly limit).",
            limit_source="openrouter_workspace_budget",
            resets_at="{midnight}",
        ),
        "data_policy": _stop(
            404, "No endpoints found matching your data policy. Configure it in your settings."
        ),
        "no_generation": _error(404, "Generation not found"),
        "no_route": _error(404, "Not Found"),
    }


def html_page(status: int, title: str) -> str:
    """What Cloudflare shows instead of an answer."""
    return (
        f"<!DOCTYPE html>\n<html><head><title>openrouter.ai | {status}: {title}</title></head>\n"
        f"<body><h1>Error {status}</h1><p>{title}</p>"
        "<p>Cloudflare Ray ID: 9a1f00d</p></body></html>\n"
    )


ERRORS: Mapping[str, ErrorText] = {
    **_refusals(),
    **_payments(),
    **_limits(),
    **_outages(),
    **{name: replace(text, extra=True, mixed=False) for name, text in _others().items()},
}
