"""What comes from the environment, and nothing else: addresses and secrets."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from shared.errors import UsageError
from shared.redis_address import FILE, REDIS_PASSWORD, REDIS_URL, checked_redis_url, redacted

OPENROUTER_API_KEY = "OPENROUTER_API_KEY"
OPENROUTER_BASE_URL = "OPENROUTER_BASE_URL"
OPENROUTER_MODEL = "OPENROUTER_MODEL"

ORCHESTRATOR_METRICS_PORT = "ORCHESTRATOR_METRICS_PORT"
WORKER_METRICS_PORT = "WORKER_METRICS_PORT"
#: Where metrics are served: loopback unless others may come in.
METRICS_HOST = "METRICS_HOST"

#: Names of this machine that lead nowhere else.
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

_OPENROUTER = "https://openrouter.ai/api/v1"


def redis_url(given: str | None = None, where: str = "--redis") -> str | None:
    """The Redis server: ``given``, as ``where`` says, else REDIS_URL, else what the file
    REDIS_URL_FILE holds; None if none is named.

    A password that the address lacks comes from REDIS_PASSWORD or REDIS_PASSWORD_FILE. Raises
    UsageError for an address that not every Redis client understands.
    """
    if given is None:
        given, where = _value(REDIS_URL) or None, REDIS_URL
    return None if given is None else checked_redis_url(given, where, _value(REDIS_PASSWORD))


def _value(name: str) -> str:
    """The value of a variable, else what the file holds that NAME_FILE names."""
    value, file = os.environ.get(name, "").strip(), os.environ.get(f"{name}{FILE}", "").strip()
    if value or not file:
        return value
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"{name}{FILE}: {file} cannot be read: {why}") from None


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
        raise UsageError(
            f"{where} {redacted(url.partition('#')[0])!r} is no address that requests can be sent"
            f" below; {example}"
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a request's ``Host``, with or without a port, is a name of this machine itself.

    A web page can have a name of its own lead to this machine, but not one of these.
    """
    try:
        return urlsplit(f"//{host}").hostname in LOOPBACK
    except ValueError:
        return False


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
