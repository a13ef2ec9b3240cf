"""Errors in OpenRouter's envelope and in those of other servers: which fault it is."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.wire.faults import BLOCK_FAULTS, BLOCK_WAIT_S, RULES
from shared.wire.untrusted import mapping, name, number, parsed, text, words
from shared.wire.verdicts import Billed, Classified
from shared.wire.waits import reset_hint, until_midnight, wait_hint

# What stands in ``error_type``, or in place of a numeric code, if there is no status to go by.
_STATUS_OF_TYPE = {
    "ZodError": 400,
    "authentication": 401,
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "invalid_request": 400,
    "max_tokens_exceeded": 400,
    "not_found": 404,
    "payload_too_large": 413,
    "payment_required": 402,
    "permission_denied": 403,
    "provider_overloaded": 529,
    "provider_unavailable": 503,
    "rate_limit_exceeded": 429,
    "refusal": 400,
    "server": 500,
    "server_error": 500,
    "string_too_long": 400,
    "timeout": 504,
    "token_limit_exceeded": 400,
    "unprocessable": 422,
}
_TOO_LONG = {
    "context_length_exceeded",
    "max_tokens_exceeded",
    "string_too_long",
    "token_limit_exceeded",
}
_FAULT_OF_STATUS = {
    401: "unauthorized",
    405: "not_found",
    408: "timeout",
    409: "try_again",
    410: "model_gone",
    413: "too_large",
    422: "unprocessable",
    425: "try_again",
    503: "unavailable",
    504: "gateway_timeout",
    524: "edge_timeout",
    529: "overloaded",
}


#: Fields that name a shape, or hold the message in it.
_SHAPES = frozenset({"object", "detail", "message"})
#: Parts of the place of a field that are quoted.
_DEEPEST_FIELD = 6
#: What of a page is not its words.
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_LARGEST_PAGE, _LONGEST_SAYING = 2**16, 240


class _Error(NamedTuple):
    #: HTTP status, or the code that the error itself names.
    status: int
    #: The error object, whatever its shape; empty if the body is no JSON.
    fields: Mapping[str, Any]
    message: str
    metadata: Mapping[str, Any]
    is_json: bool
    user_id: str

    @property
    def types(self) -> set[str]:
        """The names that the error gives itself."""
        own = (self.fields.get(key) for key in ("code", "type", "name"))
        return {name(value) for value in (self.metadata.get("error_type"), *own)} - {""}

    @property
    def is_upstream(self) -> bool:
        """Whether OpenRouter passes on what a provider said."""
        return "provider returned error" in self.message.lower() or bool(
            name(self.metadata.get("provider_name"))
        )

    @property
    def source(self) -> str:
        """The limit that was hit."""
        return name(self.metadata.get("limit_source"))


def classify_error(
    status: int, headers: Mapping[str, str], payload: object, now_s: float
) -> Classified:
    """The verdict on an error under its own status, or under 200.

    ``headers`` are lower case, ``payload`` is the body's JSON value or None. Never raises.
    """
    error = _read(status, payload)
    fault = _fault(error)
    rule = RULES[fault]
    wait_s = wait_hint(headers, error.fields, now_s)
    if fault in BLOCK_FAULTS and wait_s is None:
        wait_s = BLOCK_WAIT_S
    elif fault == "rate_daily":
        reset = reset_hint(headers, error.fields, now_s)
        wait_s = until_midnight(now_s) if reset is None else reset
    billed = rule.billed
    if error.status >= 500 and not error.is_json:
        # A page comes from the edge, behind which the request may still run.
        billed = Billed.PERHAPS
    return Classified(
        verdict=rule.verdict,
        fault=fault,
        scope=rule.scope,
        wait_s=wait_s,
        message=" ".join([rule.says, _quoted(error, fault, now_s, wait_s)]),
        kind=rule.kind,
        billed=billed,
        throttled=rule.throttled,
        replay=rule.replay,
        answer=None,
    )


def error_fields(body: bytes) -> dict[str, Any]:
    """The fields of an error in whatever shape a server gives it, ``message`` among them; of a page
    or of plain text its words. Empty if the body says nothing.
    """
    payload = parsed(body)
    error = _read(0, payload)
    if error.message:
        told = {key: value for key, value in error.fields.items() if key not in _SHAPES}
        return {**told, "message": error.message}
    if isinstance(payload, dict | list):
        return {}
    said = _MARKUP.sub(" ", body[:_LARGEST_PAGE].decode("utf-8", "replace"))
    said = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return {"message": said[:_LONGEST_SAYING]} if said else {}


def _read(status: int, payload: object) -> _Error:
    body = mapping(payload)
    found = body.get("error")
    # OpenRouter, OpenAI, llama.cpp: an object. Ollama: a string. Old vLLM and FastAPI: the body.
    fields = mapping(found) or ({"message": found} if text(found) else body)
    metadata = mapping(fields.get("metadata")) or mapping(body.get("metadata"))
    message = text(fields.get("message")) or _detail(fields.get("detail"))
    read = _Error(
        status=status,
        fields=fields,
        message=message,
        metadata=metadata,
        is_json=isinstance(payload, dict),
        user_id=text(body.get("user_id")),
    )
    return read._replace(status=_effective_status(status, read))


def _detail(detail: object) -> str:
    """FastAPI's words: a text, or a list of objects with one each and its field."""
    first = mapping(detail[0] if isinstance(detail, list) and detail else None)
    place = first.get("loc")
    names = [n for n in place if isinstance(n, str | int)] if isinstance(place, list) else []
    field = ".".join(str(name) for name in names[:_DEEPEST_FIELD] if name != "body")
    said = text(first.get("msg"))
    return text(detail) or (f"{field}: {said}" if field and said else said)


def _effective_status(status: int, error: _Error) -> int:
    """What the error says of itself before what the response says."""
    for value in (error.fields.get("code"), error.fields.get("http_status")):
        code = number(value)
        if code is not None and 400 <= code < 600:
            return int(code)
    if 200 <= status < 300:
        known = [_STATUS_OF_TYPE[kind] for kind in error.types if kind in _STATUS_OF_TYPE]
        return max(known, default=status)
    return status


def _fault(error: _Error) -> str:
    status = error.status
    if choose := _CHOICES.get(status):
        return choose(error)
    if fault := _FAULT_OF_STATUS.get(status):
        return fault
    if 200 <= status < 300:
        return "error_200"
    ranges = {3: "redirect", 4: "refused", 5: "server"}
    return ranges.get(status // 100, "unknown_status")


def _bad_request(error: _Error) -> str:
    said = error.message.lower()
    # A provider's own reason is quoted as text, or as JSON in a text.
    raw = text(error.metadata.get("raw")).lower()
    if error.types & _TOO_LONG or "context length" in said + raw:
        return "context_length"
    if "content_policy_violation" in error.types:
        return "content_policy"
    if "not a valid model id" in said:
        return "invalid_model"
    return "bad_request" if error.is_upstream else "validation"


def _payment(error: _Error) -> str:
    reason, said = name(error.metadata.get("reason")), error.message.lower()
    if reason == "weight_exceeds_budget":
        return "weight"
    if reason == "in_flight_budget_exhausted" or error.source == "openrouter_in_flight_budget":
        return "in_flight"
    if error.source == "openrouter_key_limit" or "key limit" in said:
        return "key_limit_402"
    return "afford" if "can only afford" in said else "credits"


def _forbidden(error: _Error) -> str:
    if not error.is_json:
        return "html_403"
    if error.metadata.get("reasons") or error.metadata.get("flagged_input"):
        return "moderation"
    if error.metadata.get("patterns"):
        return "guardrail"
    limited = error.source.endswith(("_budget", "key_limit"))
    return "key_limit" if limited or "limit exceeded" in error.message.lower() else "forbidden"


def _not_found(error: _Error) -> str:
    said = error.message.lower()
    if "no endpoints found for" in said:
        return "model_gone"
    if "no endpoints" in said or "data policy" in said:
        return "no_endpoints"
    return "bad_request" if error.is_upstream else "not_found"


def _too_many(error: _Error) -> str:
    said = error.message.lower()
    if not error.is_json:
        return "html_429"
    if error.source == "openrouter_free_tier_daily" or "per-day" in said:
        return "rate_daily"
    if error.source == "openrouter_free_tier_per_minute" or "per-min" in said:
        return "rate_minute"
    if error.source == "upstream_provider_shared_pool" or error.is_upstream:
        return "rate_upstream"
    # OpenAI's word for an account without money.
    return "credits" if "insufficient_quota" in error.types else "rate_limited"


def _bad_gateway(error: _Error) -> str:
    return "bad_gateway" if error.is_json else "html_502"


_CHOICES: dict[int, Callable[[_Error], str]] = {
    400: _bad_request,
    402: _payment,
    403: _forbidden,
    404: _not_found,
    429: _too_many,
    502: _bad_gateway,
}


def _quoted(error: _Error, fault: str, now_s: float, wait_s: float | None) -> str:
    """Status, the server's own words, and until when it lasts, in parentheses."""
    said = error.message if error.is_json else "a page, not JSON"
    if error.is_upstream:
        provider, raw = name(error.metadata.get("provider_name")), text(error.metadata.get("raw"))
        said = " ".join(filter(None, [said, provider and f"[{provider}]", raw]))
    parts = [str(error.status), words(said, error.user_id)]
    if fault == "rate_daily" and wait_s is not None:
        parts.append(f"until {datetime.fromtimestamp(now_s + wait_s, UTC):%Y-%m-%d %H:%M} UTC")
    elif resets := words(text(error.metadata.get("resets_at"))):
        parts.append(f"resets at {resets}")
    return f"({': '.join(filter(None, parts[:2]))}{''.join(f'; {part}' for part in parts[2:])})"
