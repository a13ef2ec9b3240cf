"""What comes from the environment, and nothing else: addresses and secrets."""

import os
import re
from urllib.parse import urlsplit, urlunsplit

from shared.errors import UsageError

REDIS_URL = "REDIS_URL"
OPENROUTER_API_KEY = "OPENROUTER_API_KEY"
OPENROUTER_BASE_URL = "OPENROUTER_BASE_URL"
OPENROUTER_MODEL = "OPENROUTER_MODEL"

ORCHESTRATOR_METRICS_PORT = "ORCHESTRATOR_METRICS_PORT"
WORKER_METRICS_PORT = "WORKER_METRICS_PORT"
#: Where metrics are served: loopback unless others may come in.
METRICS_HOST = "METRICS_HOST"

_OPENROUTER = "https://openrouter.ai/api/v1"


def redis_url() -> str | None:
    """The Redis server of ``REDIS_URL``, checked; None if it is unset or empty.

    Raises UsageError for an address that no Redis client understands.
    """
    url = os.environ.get(REDIS_URL, "").strip()
    return checked_redis_url(url, REDIS_URL) if url else None


def checked_redis_url(url: str, where: str) -> str:
    """``url`` itself; UsageError naming ``where`` if it is no Redis address."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme in {"redis", "rediss"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        complete = False
    if not complete:
        raise UsageError(
            f"{where} {redacted(url)!r} is no Redis address; write redis://HOST:PORT/DB"
            " (rediss:// for TLS)"
        )
    return url


def openrouter_api_key() -> str | None:
    """The key of ``OPENROUTER_API_KEY``, checked; None if it is unset or empty.

    Raises UsageError for a key that no request header can carry.
    """
    return checked_api_key(os.environ.get(OPENROUTER_API_KEY))


def checked_api_key(raw: str | None, where: str = OPENROUTER_API_KEY) -> str | None:
    """The key without blanks around it, from the variable ``where``; None if nothing is left.

    Raises UsageError, which does not quote it, unless it is printable ASCII without spaces: a
    client would put the whole header into its own error.
    """
    key = (raw or "").strip()
    if not re.fullmatch(r"[!-~]*", key):
        raise UsageError(
            f"{where} holds a space, a line break or a character that is not ASCII; "
            "copy the key again, and nothing but the key"
        )
    return key or None


def openrouter_model() -> str:
    """The model of ``OPENROUTER_MODEL``, if an endpoint or key is set beside it; else empty."""
    return os.environ.get(OPENROUTER_MODEL, "").strip() if endpoint_given() else ""


def endpoint_given() -> bool:
    """Whether a key is set, or an endpoint that may need none."""
    return bool(os.environ.get(OPENROUTER_API_KEY) or os.environ.get(OPENROUTER_BASE_URL))


def openrouter_base_url() -> str:
    """The endpoint of ``OPENROUTER_BASE_URL`` without a slash at its end; OpenRouter if unset.

    Raises UsageError for what is no plain http or https address.
    """
    url = os.environ.get(OPENROUTER_BASE_URL, "").strip()
    return checked_base_url(url) if url else _OPENROUTER


def checked_base_url(url: str, where: str = OPENROUTER_BASE_URL) -> str:
    """``url`` without a slash at its end; UsageError naming ``where`` if requests cannot be sent
    below it."""
    example = f"write it like {_OPENROUTER} or http://127.0.0.1:8080/v1"
    try:
        parts = urlsplit(url)
        complete = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        raise UsageError(f"{where} is no address; {example}") from None
    if "@" in parts.netloc:
        raise UsageError(
            f"{where} holds a user or password; {example}, and put the key into "
            f"{OPENROUTER_API_KEY}"
        )
    if not complete or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        shown = urlunsplit(parts._replace(query="", fragment=""))
        raise UsageError(
            f"{where} {shown!r} is no address that requests can be sent below; {example}"
        )
    return url.rstrip("/")


def metrics_port(name: str) -> int | None:
    """The TCP port of ``ORCHESTRATOR_METRICS_PORT`` or ``WORKER_METRICS_PORT``; None = off.

    0 = any free one. Raises UsageError for what is no port.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) > 65535:
        raise UsageError(f"{name} = {text!r} is no TCP port; give 1 to 65535, or 0 for a free one")
    return int(text)


def redacted(url: str) -> str:
    """The address without its user and password, fit to be printed."""
    scheme, separator, rest = url.rpartition("://")
    place = rest.rpartition("@")
    return f"{scheme}{separator}***@{place[2]}" if place[1] else url
