"""What comes from the environment, and nothing else: addresses and secrets."""

import os
from urllib.parse import urlsplit, urlunsplit

from shared.errors import UsageError

REDIS_URL = "REDIS_URL"


def redis_url() -> str | None:
    """The Redis server of ``REDIS_URL``, checked; None if it is unset or empty.

    Raises UsageError for an address that no Redis client understands.
    """
    url = os.environ.get(REDIS_URL, "").strip()
    return checked_redis_url(url, REDIS_URL) if url else None


def checked_redis_url(url: str, where: str) -> str:
    """``url`` itself; UsageError naming ``where`` if it is no Redis address."""
    parts = urlsplit(url)
    try:
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


def redacted(url: str) -> str:
    """The address without its user and password, fit to be printed."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]))
