"""How long the endpoint asks us to wait, and how long we wait if it does not say."""

import random
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from shared.wire.untrusted import amount, mapping, number

LONGEST_WAIT_S = 86400.0
#: Full jitter: U(0, min(cap, base * 2^n)) seconds before attempt n + 1.
BACKOFF_BASE_S, BACKOFF_CAP_S = 1.0, 30.0
# Smaller numbers are seconds since 1970, and still smaller ones no time at all.
_LEAST_EPOCH_MS = 1e11
_LEAST_EPOCH_S = 1e9


def wait_hint(headers: Mapping[str, str], error: Mapping[str, Any], now_s: float) -> float | None:
    """Seconds to wait, 0 to 24 h, from the first of the known places that holds a time.

    ``headers`` are lower case, ``error`` is the error object, ``now_s`` seconds since 1970. The
    order: Retry-After (seconds or HTTP date), ``metadata.retry_after_seconds``,
    ``availability.retry_after``, Retry-After in ``metadata.headers``, X-RateLimit-Reset.
    """
    metadata = mapping(error.get("metadata"))
    quoted = lower_keys(mapping(metadata.get("headers")))
    hints = (
        _retry_after(headers.get("retry-after"), now_s),
        amount(metadata.get("retry_after_seconds")),
        amount(mapping(error.get("availability")).get("retry_after")),
        _retry_after(quoted.get("retry-after"), now_s),
        reset_hint(headers, error, now_s),
    )
    wait = next((hint for hint in hints if hint is not None), None)
    return None if wait is None else min(wait, LONGEST_WAIT_S)


def backoff_s(attempt: int) -> float:
    """Seconds between attempt 1, 2, ... and the next, with chance in them."""
    return random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** (attempt - 1)))


def reset_hint(headers: Mapping[str, str], error: Mapping[str, Any], now_s: float) -> float | None:
    """Seconds until X-RateLimit-Reset, 0 to 24 h: epoch in milliseconds, header or metadata."""
    metadata = mapping(error.get("metadata"))
    quoted = lower_keys(mapping(metadata.get("headers")))
    for value in (headers.get("x-ratelimit-reset"), quoted.get("x-ratelimit-reset")):
        epoch = number(value)
        if epoch is not None and epoch >= _LEAST_EPOCH_S:
            reset_s = epoch / 1000 if epoch >= _LEAST_EPOCH_MS else epoch
            return min(max(reset_s - now_s, 0.0), LONGEST_WAIT_S)
    return None


def until_midnight(now_s: float) -> float:
    """Seconds until 00:00 UTC."""
    return LONGEST_WAIT_S - now_s % LONGEST_WAIT_S


def lower_keys(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers by lower-case name."""
    return {str(key).lower(): value for key, value in headers.items()}


def _retry_after(value: object, now_s: float) -> float | None:
    if number(value) is not None or not isinstance(value, str):
        return amount(value)
    try:
        date = parsedate_to_datetime(value)
        return max((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s, 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
