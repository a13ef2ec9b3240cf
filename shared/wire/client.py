"""One HTTP client of a model endpoint: bytes out, a verdict back."""

import asyncio
import contextlib
import time
from datetime import timedelta
from urllib.parse import urlsplit

from pyreqwest.client import ClientBuilder
from pyreqwest.request import RequestBuilder
from pyreqwest.response import ResponseBodyReader

from shared.wire.answers import classify, fault_alone, transport_failure
from shared.wire.transport import (
    CONNECT_TIMEOUT_S,
    LARGEST_ANSWER,
    Response,
    configured,
    lines,
    without_key,
)
from shared.wire.untrusted import amount, mapping, parsed
from shared.wire.verdicts import Billed, Classified

# Requests whose answer is only good to have.
_SIDE_DEADLINE_S = 10.0
# After our own deadline, so that the deadline is what ends a call.
_GRACE_S = 1.0


class ChatClient:
    """Asks one endpoint. One instance per process, used on one loop by all its slots.

    How many calls run at the same time is decided elsewhere.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        *,
        openrouter: bool | None = None,
    ) -> None:
        """``base_url`` and ``api_key`` as ``shared.settings`` checks them.

        A proxy of the environment is used (``proxies``); UsageError if it cannot be one.
        ``openrouter`` says whether the endpoint speaks OpenRouter's dialect; None: found out when
        first asked.
        """
        self.base_url = base_url
        self._openrouter = openrouter
        if openrouter is None and _is_openrouter(base_url):
            self._openrouter = True
        self._probing = asyncio.Lock()
        self._key = api_key
        # reqwest, as it is: httpx's own pool collapses above 64 calls, and httpx's API on this
        # transport costs three times the CPU of the call itself.
        self._transport = configured(ClientBuilder(), base_url, connect_timeout_s).build()

    def __repr__(self) -> str:
        return f"ChatClient({self.base_url!r})"

    async def post_chat(self, body: bytes, deadline_s: float, fresh: bool = False) -> Classified:
        """Send a body of ``chat_body`` and judge the answer, all within ``deadline_s`` seconds.

        OpenRouter may repeat, free, its answer of some minutes ago to the same bytes; ``fresh``
        has it forget that answer and give another, which it may then repeat. Whatever goes wrong is
        in the verdict; only cancellation raises.
        """
        try:
            request = self._transport.post(f"{self.base_url}/chat/completions").body_bytes(body)
            request = request.header("X-OpenRouter-Cache", "true")
            if fresh:
                request = request.header("X-OpenRouter-Cache-Clear", "true")
            answered = await self._answered(request, deadline_s)
        except Exception as error:
            return transport_failure(error)
        return judged(answered, self._key)

    async def generation_cost(self, generation_id: str) -> float | None:
        """What a generation cost, in USD, as OpenRouter's books say; None if they do not tell.

        The books lag behind by minutes. Best effort: one request, 10 seconds, never raises.
        """
        found = await self._get("/generation", {"id": generation_id})
        return amount(mapping(mapping(found).get("data")).get("total_cost"))

    async def priced(self, found: Classified) -> Classified:
        """With the cost from OpenRouter's books, where the answer itself does not name it."""
        answer = found.answer
        if answer is None or answer.cost_usd is not None or not answer.generation_id:
            return found
        cost = await self.generation_cost(answer.generation_id)
        if cost is None:
            return found
        billed = Billed.YES if cost > 0 else Billed.NO
        return found._replace(billed=billed, answer=answer._replace(cost_usd=cost))

    async def speaks_openrouter(self) -> bool:
        """Whether the endpoint knows OpenRouter's fields: OpenRouter itself, or a stand-in of it.

        Asks GET /models once, if nobody said; an endpoint that does not answer is asked again at
        the next call, and until then taken for a plain one.
        """
        async with self._probing:
            if self._openrouter is None:
                models = await self._get("/models", {})
                if models is None:
                    return False
                self._openrouter = _lists_like_openrouter(models)
        return self._openrouter

    async def aclose(self) -> None:
        """Close all connections; calls under way fail."""
        await self._transport.close()

    async def _answered(self, request: RequestBuilder, deadline_s: float) -> Response:
        """The response, read to its end. Raises whatever the transport raises, TimeoutError."""
        if self._key:
            request = request.header("Authorization", f"Bearer {self._key}", is_sensitive=True)
        # Cancelling a call leaves it running in the transport, its connection open, even after the
        # client is closed: the transport has to end by itself what nobody waits for any more.
        request = request.timeout(timedelta(seconds=deadline_s + _GRACE_S))
        async with asyncio.timeout(deadline_s), request.build_streamed() as response:
            body = await _received(response.body_reader)
            return Response(response.status, lines(response.headers), body)

    async def _get(self, path: str, query: dict[str, str]) -> object:
        """The JSON value at a path; None for whatever goes wrong."""
        with contextlib.suppress(Exception):
            request = self._transport.get(self.base_url + path).query(query)
            answered = await self._answered(request, _SIDE_DEADLINE_S)
            if answered.body is not None and 200 <= answered.status < 300:
                return parsed(answered.body)
        return None


def judged(answered: Response, key: str | None) -> Classified:
    """The verdict on a whole response; ``key`` does not stand in it even if quoted."""
    if answered.body is None:
        return fault_alone("huge_body")
    answered = without_key(key, answered)
    return classify(answered.status, answered.headers, answered.body or b"", time.time())


async def _received(reader: ResponseBodyReader) -> bytes | None:
    """The whole body; None if it is larger than any answer."""
    parts, size = [], 0
    while (part := await reader.read_chunk()) is not None:
        parts.append(part)
        size += len(part)
        if size > LARGEST_ANSWER:
            return None
    return b"".join(parts)


def _is_openrouter(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return host == "openrouter.ai" or host.endswith(".openrouter.ai")


def _lists_like_openrouter(models: object) -> bool:
    listed = mapping(models).get("data")
    first = mapping(listed[0]) if isinstance(listed, list) and listed else {}
    return "pricing" in first and "supported_parameters" in first
