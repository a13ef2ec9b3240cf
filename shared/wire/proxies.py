"""Which proxy of the environment stands between us and an endpoint.

The usual variables, in either case: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY. A proxy may be
named with a user and password; no message shows them.
"""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment

from shared.errors import UsageError

_SCHEMES = ("http", "https", "socks5", "socks5h")


class Proxy(NamedTuple):
    """An HTTP or SOCKS proxy. Made by ``proxy_for``."""

    #: Without user and password, fit to be shown.
    url: str
    #: User and password, if the variable holds them.
    login: tuple[str, str] | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


def proxy_for(url: str) -> Proxy | None:
    """The proxy for requests to ``url``, an http or https address; None: they go there directly.

    A loopback address never has one. Raises UsageError for a variable that names no proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    if is_loopback(host) or _excepted(host, parts.port, proxies.get("no", "")):
        return None
    for name in (parts.scheme, "all"):
        if found := proxies.get(name):
            return _read(found, f"{name.upper()}_PROXY")
    return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _excepted(host: str, port: int | None, exceptions: str) -> bool:
    """Whether NO_PROXY holds the host: name, end of its name, address, network, or ``*``."""
    return any(_holds(one.strip().lower(), host, port) for one in exceptions.split(","))


def _holds(exception: str, host: str, port: int | None) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False)
    except ValueError:
        name = exception.lstrip("*").lstrip(".")
        if port is not None:
            name = name.removesuffix(f":{port}")
        return exception == "*" or (bool(name) and f".{host}".endswith(f".{name}"))


def _read(found: str, variable: str) -> Proxy:
    whole = found.strip() if "://" in found else f"http://{found.strip()}"
    try:
        parts = urlsplit(whole)
        place, _ = parts.netloc.rpartition("@")[2], parts.port
        good = bool(parts.hostname) and bool(re.fullmatch(r"[!-~]+", place))
    except ValueError:
        good = False
    if not good or parts.scheme not in _SCHEMES:
        raise UsageError(
            f"{variable} does not name a proxy; write it like http://proxy.example:3128"
            f" ({', '.join(_SCHEMES)}), or put the endpoint's host into NO_PROXY"
        )
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return Proxy(f"{parts.scheme}://{place}", login)
