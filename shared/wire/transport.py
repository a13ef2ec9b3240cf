"""What every connection to a model endpoint has in common: headers, proxy, and the bounds within
which an answer is read.

The chat path is asynchronous (``client``); what is asked a few times before a run starts is not,
since it may be asked where an event loop is running already.
"""

import atexit
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from typing import NamedTuple, TypeVar

from pyreqwest.client import ClientBuilder, SyncClient, SyncClientBuilder
from pyreqwest.http import HeaderMap
from pyreqwest.proxy import ProxyBuilder
from pyreqwest.request import SyncRequestBuilder

from shared.wire.proxies import proxy_for

#: Bytes that an answer may have.
LARGEST_ANSWER = 4 * 2**20
#: Seconds until a connection stands.
CONNECT_TIMEOUT_S = 10.0
# Below what servers and balancers keep idle connections for.
_IDLE_S = 30.0
# What a thread needs at most to return from telling an answer.
_LETTING_GO_S = 0.1
# Shorter ones are placeholders, and may occur in any text.
_SHORTEST_SECRET = 8
_TITLE = "concept-grpo"
_AGENT = f"concept-grpo/{version('concept-grpo')}"
# Reserved by RFC 2606: the project has no address of its own.
_REFERER = "https://concept-grpo.example"
# All but the key: an error about a header quotes it, and only calls are guarded against that.
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "HTTP-Referer": _REFERER,
    "User-Agent": _AGENT,
    "X-OpenRouter-Title": _TITLE,
}

Builder = TypeVar("Builder", ClientBuilder, SyncClientBuilder)


class Response(NamedTuple):
    """A whole response; ``body`` is None if it is larger than any answer."""

    status: int
    headers: dict[str, str]
    body: bytes | None


def configured(builder: Builder, base_url: str, connect_timeout_s: float) -> Builder:
    """A client's builder for one endpoint. Raises UsageError for a proxy that cannot be one."""
    _let_go_at_exit()
    builder = (
        builder.default_headers(_HEADERS)
        .connect_timeout(timedelta(seconds=connect_timeout_s))
        .pool_idle_timeout(timedelta(seconds=_IDLE_S))
        .pool_max_idle_per_host(4096)
        .no_proxy()
        .follow_redirects(False)
        .http1_only()
        .default_cookie_store(False)
    )
    if proxy := proxy_for(base_url):
        through = ProxyBuilder.all(proxy.url)
        builder = builder.proxy(through.basic_auth(*proxy.login) if proxy.login else through)
    # Bytes are counted as they arrive, so they must not grow on the way.
    return builder.gzip(False).brotli(False).deflate(False).zstd(False)


@contextmanager
def asking(base_url: str, key: str | None) -> Iterator["Asking"]:
    """A few plain requests to the endpoint at ``base_url``, as ``shared.settings`` checks it."""
    with configured(SyncClientBuilder(), base_url, CONNECT_TIMEOUT_S).build() as client:
        yield Asking(client, base_url, key)


class Asking:
    """Asks and waits. Made by ``asking``."""

    def __init__(self, client: SyncClient, base_url: str, key: str | None) -> None:
        self._client, self._base_url, self._key = client, base_url, key

    def get(self, path: str, deadline_s: float) -> Response:
        """The answer to a GET, all within ``deadline_s`` seconds. Raises what pyreqwest raises,
        whose text may hold headers: name only its class."""
        return self._whole(self._client.get(self._base_url + path), deadline_s)

    def post_chat(self, body: bytes, deadline_s: float) -> Response:
        """The answer to a body of ``chat_body``; the same holds for it."""
        request = self._client.post(f"{self._base_url}/chat/completions").body_bytes(body)
        return self._whole(request, deadline_s)

    def _whole(self, request: SyncRequestBuilder, deadline_s: float) -> Response:
        if self._key:
            request = request.header("Authorization", f"Bearer {self._key}", is_sensitive=True)
        parts, size = [], 0
        # reqwest's own deadline: from the first connection to the last byte.
        request = request.timeout(timedelta(seconds=deadline_s))
        with request.build_streamed() as response:
            while (part := response.body_reader.read_chunk()) is not None:
                parts.append(part)
                size += len(part)
                if size > LARGEST_ANSWER:
                    return Response(response.status, lines(response.headers), None)
            return Response(response.status, lines(response.headers), b"".join(parts))


def lines(headers: HeaderMap) -> dict[str, str]:
    """Headers by name; a repeated one has its values in one line, as RFC 9110 reads it."""
    found: dict[str, str] = {}
    for name, text in headers.items():
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def without_key(key: str | None, answered: Response) -> Response:
    """The response, should the server quote the key that it refuses."""
    if not key or len(key) < _SHORTEST_SECRET or answered.body is None:
        return answered
    headers = {name: text.replace(key, "***") for name, text in answered.headers.items()}
    return Response(answered.status, headers, answered.body.replace(key.encode(), b"***"))


@cache
def _let_go_at_exit() -> None:
    """The thread that told of the last answer may not have let go of the interpreter yet; doing so
    while Python ends aborts it (seen once in 40 short programs, never in 150 with this)."""
    atexit.register(time.sleep, _LETTING_GO_S)
