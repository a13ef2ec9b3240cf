"""The address of the Redis server: one parser for every client, and what of it may be printed.

redis-py, kombu and Flower each read options of an address in a way of their own: what one takes for
a database, the next passes to its connection, and without options kombu checks no certificate. So
every address is rewritten into the one form that all of them read alike.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from shared.errors import UsageError

REDIS_URL = "REDIS_URL"
REDIS_PASSWORD = "REDIS_PASSWORD"
#: Behind the name of a variable: the file that holds its value.
FILE = "_FILE"

#: Options that say what the address itself can say.
_PARTS = ("db", "username", "password")
#: Options of TLS that redis-py and kombu both know, and what they may be; None: a file's path.
_TLS: dict[str, tuple[str, ...] | None] = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
    "ssl_ca_certs": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
}
_FORM = "write redis://HOST:PORT/DB (rediss:// for TLS)"


def checked_redis_url(url: str, where: str, password: str | None = None) -> str:
    """``url`` in the form that every client reads alike, with ``password`` if it has none.

    Raises UsageError, which names ``where`` and quotes no secret, for what is not an address of a
    Redis server, or holds an option that not every client knows.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)
                       if parts.query else ())  # fmt: skip
        complete = parts.scheme in {"redis", "rediss"} and bool(parts.hostname)
    except ValueError:
        complete = False
    if not complete or parts.fragment:
        raise UsageError(f"{where} {redacted(url)!r} is not the address of a Redis server; {_FORM}")
    database = options.pop("db", "") or parts.path.strip("/") or "0"
    if not re.fullmatch(r"[0-9]{1,9}", database):
        raise UsageError(
            f"{where} {redacted(url)!r}: the database is a whole number from 0 on; {_FORM}"
        )
    user = options.pop("username", None) or unquote(parts.username or "")
    secret = options.pop("password", None) or unquote(parts.password or "") or password or ""
    tls = _checked_tls(options, parts.scheme == "rediss", where)
    login = f"{quote(user, safe='')}:{quote(secret, safe='')}@" if user or secret else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    query = f"?{urlencode(tls)}" if tls else ""
    return f"{parts.scheme}://{login}{host}:{port}/{int(database)}{query}"


def _checked_tls(options: Mapping[str, str], encrypted: bool, where: str) -> dict[str, str]:
    """The options of TLS; certificates are checked unless the address says otherwise."""
    for name, value in options.items():
        if name not in _TLS:
            known = ", ".join([*_PARTS, *_TLS])
            raise UsageError(f"{where}: no option {name!r} in the address of Redis; known: {known}")
        if not encrypted:
            raise UsageError(f"{where}: {name} needs rediss://, the address begins with redis://")
        allowed = _TLS[name]
        if allowed is not None and value.lower() not in allowed:
            raise UsageError(f"{where}: {name} is one of {', '.join(allowed)}")
        if allowed is None and not Path(value).is_file():
            raise UsageError(f"{where}: {name}: there is no file {value}")
    if not encrypted:
        return {}
    given = {name: value.lower() if _TLS[name] else value for name, value in options.items()}
    tls = {"ssl_cert_reqs": "required", **given}
    if tls["ssl_cert_reqs"] == "none":
        # Python refuses to check the name in a certificate that it does not check.
        tls["ssl_check_hostname"] = "false"
    return tls


def refusal(error: BaseException) -> str:
    """What a server answered, without the name of the user it refuses and without the values of
    the command, which redis-py quotes where several were sent together."""
    said = re.sub(r"^Command # .* of pipeline caused error: ", "", str(error).strip(), flags=re.S)
    return re.sub(r"^User \S+ has", "this user has", said).rstrip(".")


def shows_password(word: str) -> bool:
    """Whether a word of a command line holds an address of Redis with a password in it."""
    return bool(re.search(r"rediss?://(\S*:\S+@|\S*[?&]password=)", word))


def redacted(url: str) -> str:
    """The address without user, password and options, fit to be printed.

    Of an address that can be read in more than one way, no more than the scheme.
    """
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    hidden = f"{scheme}{separator}***" if re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) else "***"
    try:
        parts = urlsplit(f"//{rest}")
        _, at, place = parts.netloc.rpartition("@")
        # Without a login before it, what is not HOST:PORT may be one.
        named = bool(at) or (bool(parts.hostname) and (parts.port or 0) >= 0)
    except ValueError:
        return hidden
    # A password with a # ? or / that is not encoded ends the part in which one is looked for.
    if not named or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return hidden
    run = f"#{parts.fragment}" if parts.fragment else ""
    return f"{scheme}{separator}{'***@' if at else ''}{place}{parts.path}{run}"
