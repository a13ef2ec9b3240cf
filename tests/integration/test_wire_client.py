"""The client over real sockets: whatever the other side does, there is a verdict in time."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator

import pytest

from shared.wire.client import ChatClient
from shared.wire.verdicts import Classified
from tests.loopback import (
    Behave,
    Request,
    drips,
    floods,
    never_answers,
    resets,
    response,
    sends,
    serving,
)
from tests.processes import PATIENCE_S

KEY = "sk-or-v1-" + "0123456789abcdef" * 4
DEADLINE_S = 5.0
ANSWER = json.dumps({
    "id": "gen-1",
    "model": "m",
    "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cost": "0.0002"},
}).encode()  # fmt: skip


@contextlib.asynccontextmanager
async def asking(url: str, key: str | None = KEY) -> AsyncIterator[ChatClient]:
    client = ChatClient(url, key, connect_timeout_s=1)
    try:
        yield client
    finally:
        await client.aclose()


def ask(behave: Behave, deadline_s: float = DEADLINE_S, key: str | None = KEY) -> Classified:
    async def once() -> Classified:
        async with serving(behave) as server, asking(server.url, key) as client:
            return await client.post_chat(b"{}", deadline_s)

    return asyncio.run(once())


def test_a_request_has_its_headers_and_bytes_and_the_answer_is_read() -> None:
    async def once() -> None:
        async with serving(sends(response(ANSWER))) as server, asking(server.url) as client:
            found = await client.post_chat(b'{"a":1}', DEADLINE_S)
            await client.post_chat(b'{"a":1}', DEADLINE_S, fresh=True)
            assert found.answer is not None
            assert (found.answer.text, found.answer.cost_usd) == ("ok", 0.0002)
            first, second = server.received
            assert (first.line, first.body) == (
                "POST /api/v1/chat/completions HTTP/1.1",
                b'{"a":1}',
            )
            assert first.headers["authorization"] == f"Bearer {KEY}"
            assert first.headers["content-type"] == "application/json"
            assert first.headers["x-openrouter-title"] == "concept-grpo"
            assert first.headers["http-referer"].startswith("https://")
            assert first.headers["x-openrouter-cache"] == "true"
            assert "x-openrouter-cache-clear" not in first.headers
            assert second.headers["x-openrouter-cache-clear"] == "true"
            assert server.connections == 1
            assert KEY not in repr(client) + repr(found) + str(vars(found.__class__))

    asyncio.run(once())


def test_no_key_means_no_authorization() -> None:
    async def once() -> None:
        async with serving(sends(response(ANSWER))) as server, asking(server.url, None) as client:
            await client.post_chat(b"{}", DEADLINE_S)
            assert "authorization" not in server.received[0].headers

    asyncio.run(once())


@pytest.mark.parametrize(
    ("behave", "fault"),
    [
        (sends(b"", hang_up=True), "connection"),
        (resets, "connection"),
        (sends(response(ANSWER, length=10_000), hang_up=True), "connection"),
        (sends(response(ANSWER)[:20], hang_up=True), "connection"),
        (sends(b"\x16\x03\x01 not http\r\n\r\n", hang_up=True), "connection"),
        (sends(response(ANSWER[:50])), "truncated_json"),
        (sends(response(b"")), "empty_body"),
        (sends(response(b"\n" * 5 + ANSWER)), "ok"),
        (sends(response(b"", "307 Moved", head="Location: /elsewhere\r\n")), "redirect"),
        (floods, "huge_body"),
        (sends(response(b"\x1f\x8b0", head="Content-Encoding: gzip\r\n")), "garbled"),
    ],
    ids=["closed", "reset", "cut", "cut-head", "no-http", "half", "empty", "padded", "redirect",
         "huge", "gzip"],
)  # fmt: skip
def test_broken_wires_have_verdicts(behave: Behave, fault: str) -> None:
    found = ask(behave)
    assert found.fault == fault
    if found.answer is None and fault != "redirect":
        assert (found.verdict, found.billed) == ("retry", "perhaps")


@pytest.mark.parametrize("behave", [never_answers, drips])
def test_the_deadline_holds_for_the_whole_answer_and_ends_the_connection(behave: Behave) -> None:
    async def once() -> None:
        async with serving(behave) as server, asking(server.url) as client:
            found = await client.post_chat(b"{}", 0.3)
            assert (found.verdict, found.fault, found.kind) == ("retry", "no_answer", "timeout")
            assert found.billed == "perhaps"
            if behave is drips:
                await asyncio.wait_for(server.hung_up.wait(), PATIENCE_S)

    asyncio.run(once())


def test_a_refused_connection_is_a_retry() -> None:
    async def once() -> Classified:
        async with serving(never_answers) as server:
            url = server.url
        async with asking(url) as client:
            return await client.post_chat(b"{}", DEADLINE_S)

    found = asyncio.run(once())
    assert (found.fault, found.kind, found.billed) == ("connection", "connection", "perhaps")


def test_a_connection_that_is_not_taken_ends_with_the_connect_timeout() -> None:
    async def once() -> Classified:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            address = full.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            try:
                for one in waiting:
                    one.setblocking(False)
                    one.connect_ex(address)
                async with asking(f"http://127.0.0.1:{address[1]}") as client:
                    return await client.post_chat(b"{}", DEADLINE_S)
            finally:
                for one in waiting:
                    one.close()

    assert asyncio.run(once()).fault == "no_answer"


def test_cancellation_passes() -> None:
    async def once() -> None:
        async with serving(never_answers) as server, asking(server.url) as client:
            call = asyncio.create_task(client.post_chat(b"{}", DEADLINE_S))
            while not server.received:
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(once())


def test_after_a_failure_the_client_goes_on() -> None:
    async def once() -> list[str]:
        faults = []
        async with serving(resets) as server, asking(server.url) as client:
            good = sends(response(ANSWER))
            for behave, deadline_s in ((resets, 5), (drips, 0.3), (good, 5), (good, 5)):
                server.behave = behave
                faults.append((await client.post_chat(b"{}", deadline_s)).fault)
        return faults

    assert asyncio.run(once()) == ["connection", "no_answer", "ok", "ok"]


def test_a_closed_client_gives_a_verdict() -> None:
    async def once() -> Classified:
        async with asking("http://127.0.0.1:9") as client:
            pass
        return await client.post_chat(b"{}", DEADLINE_S)

    assert asyncio.run(once()).fault == "connection"


def test_a_key_that_the_server_quotes_is_in_no_verdict() -> None:
    quoted = json.dumps({"error": {"code": 401, "message": f"Bad key: hunter2-{KEY[9:]}"}})
    found = ask(sends(response(quoted.encode(), "401 No")), key="hunter2-" + KEY[9:])
    assert found.fault == "unauthorized"
    assert "0123456789" not in repr(found)


def test_a_header_that_cannot_be_sent_does_not_show_the_key() -> None:
    found = ask(sends(response(ANSWER)), key=KEY + "\n")
    assert found.fault == "connection"
    assert KEY not in repr(found)


def test_a_loopback_endpoint_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ask(sends(response(ANSWER))).fault == "ok"


def test_cookies_are_not_kept() -> None:
    async def once() -> None:
        cookie = response(ANSWER, head="Set-Cookie: seen=1; Path=/\r\n")
        async with serving(sends(cookie)) as server, asking(server.url) as client:
            for _ in range(2):
                await client.post_chat(b"{}", DEADLINE_S)
            assert all("cookie" not in request.headers for request in server.received)

    asyncio.run(once())


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        (b'{"data": {"total_cost": 0.003}}', 0.003),
        (b'{"data": {"total_cost": "-1"}}', None),
        (b"<html>", None),
    ],
)
def test_the_books_are_asked_for_a_cost(body: bytes, cost: float | None) -> None:
    async def once() -> None:
        async with serving(sends(response(body))) as server, asking(server.url) as client:
            assert await client.generation_cost("gen-1/a b") == cost
            assert server.received[0].line.startswith("GET /api/v1/generation?id=gen-1")
            server.behave = sends(response(body, "404 Not Found"))
            assert await client.generation_cost("gen-1") is None

    asyncio.run(once())


def test_the_dialect_is_found_out_once() -> None:
    async def asked(models: bytes) -> bool:
        async with serving(sends(b"", hang_up=True)) as server, asking(server.url) as client:
            assert await client.speaks_openrouter() is False
            server.behave = sends(response(models))
            found = await asyncio.gather(*(client.speaks_openrouter() for _ in range(8)))
            assert len(server.received) == 2
            return all(found)

    entry = b'{"data": [{"id": "a/b", "pricing": {}, "supported_parameters": []}]}'
    assert asyncio.run(asked(entry)) is True
    assert asyncio.run(asked(b'{"object": "list", "data": [{"id": "llama"}]}')) is False


def test_openrouter_needs_no_finding_out() -> None:
    async def once() -> None:
        async with asking("https://openrouter.ai/api/v1") as client:
            assert await client.speaks_openrouter()

    asyncio.run(once())


def test_many_calls_run_at_the_same_time() -> None:
    async def slow(writer: asyncio.StreamWriter, request: Request) -> None:
        await asyncio.sleep(0.2)
        writer.write(response(ANSWER))

    async def once() -> list[Classified]:
        async with serving(slow) as server, asking(server.url) as client:
            started = time.monotonic()
            found = await asyncio.gather(*(client.post_chat(b"{}", 20) for _ in range(256)))
            # One after the other they would take 51 seconds; this is no benchmark.
            assert time.monotonic() - started < 40
            return found

    assert {found.fault for found in asyncio.run(once())} == {"ok"}
