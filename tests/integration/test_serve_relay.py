"""What goes to the endpoint and what comes back, byte by byte, when either side misbehaves."""

import asyncio
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.config import RunConfig
from orchestrator.serve.desk import Keys
from orchestrator.trained import Policy
from tests.benchmarks._endpoint import FILES, make_certificate
from tests.loopback import Behave, Request, drips, never_answers, resets, response, sends, serving
from tests.processes import wait_until
from tests.serving import (
    COMPLETION,
    EVENT,
    PLANNED,
    STREAM,
    UNKNOWN,
    between,
    body,
    chunk,
    on_a_thread,
    post,
    served,
)
from tests.standin_calls import MODEL
from tests.trained_policies import policy_file

KEY = "sk-or-v1-" + "0123456789abcdef" * 4
ANSWERS = sends(response(json.dumps(COMPLETION).encode(), head="Set-Cookie: a=b\r\n"))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    config = RunConfig(model=MODEL, self_report=False)
    return Policy.load(policy_file(tmp_path_factory.mktemp("policy"), config))


def streams(*parts: bytes, end: bytes = b"0\r\n\r\n", hang_up: bool = False) -> Behave:
    return sends(STREAM + b"".join(map(chunk, parts)) + end, hang_up)


def test_headers_meant_for_the_endpoint_arrive_and_others_do_not(policy: Policy) -> None:
    with between(policy, ANSWERS, keys=Keys(endpoint=KEY)) as case:
        answer = post(
            case.served,
            body(),
            **{
                "HTTP-Referer": "https://app.example",
                "X-Title": "app",
                "OpenAI-Organization": "org-1",
                "Cookie": "a=b",
                "X-Forwarded-For": "10.0.0.1",
                "X-Concept-Grpo": "on",
                "Accept-Encoding": "gzip",
            },
        )
        headers, fields = case.received()

    assert answer.json() == COMPLETION
    assert "set-cookie" not in answer.headers
    assert "server" not in answer.headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["http-referer"] == "https://app.example"
    assert (headers["x-title"], headers["openai-organization"]) == ("app", "org-1")
    assert headers["accept-encoding"] == "identity"
    assert {"cookie", "x-forwarded-for", "x-concept-grpo"}.isdisjoint(headers)
    assert fields["messages"] == policy.plan(PLANNED, greedy=True).messages


def test_a_request_that_is_not_planned_arrives_byte_for_byte(policy: Policy) -> None:
    sent = b' {"model":"a/b",  "messages":[{"role":"user","content":"Say hello"}],"top_p":0.50}'
    with between(policy, ANSWERS) as case:
        post(case.served, sent)
        post(case.served, body(PLANNED, model="a/b"), **{"X-Concept-Grpo": "off"})

        assert case.endpoint.received[0].body == sent
        assert case.endpoint.received[1].body == body(PLANNED, model="a/b")
        # One connection was enough for both.
        assert case.endpoint.connections == 1


def test_the_callers_own_key_is_sent_on_in_place_of_the_servers(policy: Policy) -> None:
    with between(policy, ANSWERS, keys=Keys(endpoint=KEY)) as case:
        post(case.served, body(), Authorization="Bearer sk-of-the-caller")
        assert case.received()[0]["authorization"] == "Bearer sk-of-the-caller"
        post(case.served, body(), Authorization="Bearer concept-grpo")
        assert case.received()[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("text", "keys", "whole"),
    [
        (PLANNED, Keys(), True),
        # The server's own key may be spelt over several events.
        (UNKNOWN, Keys(endpoint=KEY), True),
        (UNKNOWN, Keys(), False),
    ],
)
def test_the_parts_of_a_stream_arrive_as_they_come(
    policy: Policy, text: str, keys: Keys, whole: bool
) -> None:
    arrived = asyncio.Semaphore(0)
    loops = []

    async def waits_for_the_caller(writer: asyncio.StreamWriter, request: Request) -> None:
        loops.append(asyncio.get_running_loop())
        writer.write(STREAM + chunk(b": PROCESSING\n\n"))
        await arrived.acquire()
        writer.write(chunk(EVENT[:10]))
        await arrived.acquire()
        writer.write(chunk(EVENT[10:]) + b"0\r\n\r\n")

    with between(policy, waits_for_the_caller, keys=keys) as case:
        url = f"{case.served.base_url}/chat/completions"
        sent = body(text, stream=True)
        with httpx.stream("POST", url, content=sent, timeout=10, trust_env=False) as answer:
            parts = answer.iter_raw()
            assert next(parts) == b": PROCESSING\n\n"
            loops[0].call_soon_threadsafe(arrived.release)
            if whole:
                # Read before it is passed on, and so whole.
                loops[0].call_soon_threadsafe(arrived.release)
                assert next(parts) == EVENT
                return
            assert next(parts) == EVENT[:10]
            loops[0].call_soon_threadsafe(arrived.release)
            assert next(parts) == EVENT[10:]
            assert list(parts) == []


def test_an_endpoint_that_takes_too_long_is_a_timeout(policy: Policy) -> None:
    for behave in (never_answers, drips):
        with between(policy, behave, timeout_s=0.3) as case:
            answer = post(case.served, body())
            assert answer.status_code == 504
            assert answer.json()["error"]["code"] == "upstream_timeout"


def test_an_endpoint_that_is_away_is_said_without_the_key(policy: Policy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with served(policy, f"http://127.0.0.1:{port}/v1", keys=Keys(endpoint=KEY)) as server:
        answer = post(server, body())
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_unreachable"
    assert KEY not in answer.text + "".join(server.lines)


def test_an_error_within_a_stream_does_not_quote_the_servers_key(policy: Policy) -> None:
    error = b'data: {"error": {"message": "no such key: %s"}}\n\n' % KEY.encode()
    with between(policy, streams(EVENT, error), keys=Keys(endpoint=KEY)) as case:
        answer = post(case.served, body(stream=True))
    assert answer.content == EVENT + error.replace(KEY.encode(), b"***")


def test_an_endpoint_that_hangs_up_is_said(policy: Policy) -> None:
    with between(policy, resets) as case:
        answer = post(case.served, body())
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broken")


def test_a_stream_that_breaks_between_two_events_ends_with_an_error_event(policy: Policy) -> None:
    for timeout_s, behave in (
        (10.0, streams(EVENT, end=b"", hang_up=True)),
        (0.3, streams(EVENT, end=b"")),
    ):
        with between(policy, behave, timeout_s=timeout_s) as case:
            answer = post(case.served, body(stream=True))
        first, second = answer.content.removesuffix(b"\n\n").split(b"\n\n")
        assert first + b"\n\n" == EVENT
        error = json.loads(second.removeprefix(b"data: "))["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["type"] == "server_error"


def test_a_stream_that_breaks_within_an_event_cannot_be_taken_for_a_whole_one(
    policy: Policy,
) -> None:
    with between(policy, streams(EVENT, EVENT[:20], end=b"", hang_up=True)) as case:
        with pytest.raises(httpx.RemoteProtocolError):
            post(case.served, body(stream=True))
        wait_until(lambda: case.served.lines, "there is an access line")
        assert "broken off" in case.served.lines[0]
        assert len(case.served.lines) == 1


def test_the_client_is_told_of_a_broken_stream(policy: Policy) -> None:
    openai = pytest.importorskip("openai")
    asked: dict[str, Any] = {"model": "a/b", "messages": [{"role": "user", "content": PLANNED}]}
    with (
        between(policy, streams(EVENT, end=b"", hang_up=True)) as case,
        case.served.client() as client,
    ):
        stream = client.chat.completions.create(**asked, stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            list(stream)


def test_an_endpoint_behind_tls_is_asked_if_its_certificate_is_trusted(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*(tmp_path / name for name in FILES))
    with on_a_thread(lambda: serving(ANSWERS, context)) as endpoint:
        with served(policy, endpoint.url) as server:
            assert post(server, body()).json()["error"]["code"] == "upstream_unreachable"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / FILES[0]))
        with served(policy, endpoint.url) as server:
            assert [post(server, body()).status_code for _ in range(2)] == [200, 200]
    assert len(endpoint.received) == 2


def test_parts_that_arrive_together_leave_together_and_whole(policy: Policy) -> None:
    parts = [b"data: %d\n\n" % number * (1 + number % 7) for number in range(3000)]
    with between(policy, streams(*parts)) as case:
        assert post(case.served, body(stream=True)).content == b"".join(parts)


def test_a_connection_that_the_endpoint_has_closed_is_not_used_again(policy: Policy) -> None:
    hangs_up = sends(response(json.dumps(COMPLETION).encode()), hang_up=True)
    with between(policy, hangs_up) as case:
        for _ in range(3):
            assert post(case.served, body()).status_code == 200
            wait_until(case.endpoint.hung_up.is_set, "the connection is closed")
            case.endpoint.hung_up.clear()
        assert case.endpoint.connections == 3
