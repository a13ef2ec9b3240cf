"""Callers of ``orchestrator serve`` who go away, stop reading, or are one too many."""

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from orchestrator.config import RunConfig
from orchestrator.serve.chat import Chat
from orchestrator.serve.planner import Outgoing, Planner
from orchestrator.trained import Policy
from tests.loopback import Request, never_answers
from tests.processes import wait_until
from tests.serving import (
    EVENT,
    STREAM,
    Served,
    between,
    body,
    calling,
    chunk,
    on_a_thread,
    post,
    served,
    silent,
)
from tests.standin_calls import MODEL
from tests.trained_policies import policy_file


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    config = RunConfig(model=MODEL, self_report=False)
    return Policy.load(policy_file(tmp_path_factory.mktemp("policy"), config))


@contextmanager
def uploading(server: Served, asked: str, size: int) -> Iterator[socket.socket]:
    """A caller who has sent the head of a request, and hangs up at the end of the block."""
    place = urlsplit(server.base_url)
    with socket.create_connection((place.hostname, place.port)) as caller:
        head = f"{asked} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        caller.sendall(head.encode())
        yield caller


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_goes_away_ends_the_call(policy: Policy, stream: bool) -> None:
    """Before the endpoint has said anything: whoever waits on would pay for nobody."""
    with on_a_thread(silent) as endpoint, served(policy, endpoint.url) as server:
        with calling(server, stream=stream):
            wait_until(lambda: endpoint.asked == 1, "the endpoint is asked")
            assert server.desk.inflight == 1
        wait_until(lambda: endpoint.hung_up == 1, "the endpoint sees the end")
        wait_until(lambda: server.lines, "there is an access line")

        assert server.desk.inflight == 0
        assert server.lines[0].split()[3] == "499"
        assert "went away" in server.lines[0]
        assert len(server.lines) == 1


def test_a_caller_who_leaves_a_stream_ends_it_at_the_endpoint(policy: Policy) -> None:
    async def goes_on(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(STREAM)
        while True:
            writer.write(chunk(EVENT))
            await writer.drain()
            await asyncio.sleep(0.01)

    with between(policy, goes_on) as case:
        url = f"{case.served.base_url}/chat/completions"
        sent = body(stream=True)
        with httpx.stream("POST", url, content=sent, timeout=10, trust_env=False) as answer:
            assert next(answer.iter_raw()).startswith(EVENT)
        wait_until(case.endpoint.hung_up.is_set, "the endpoint sees the end")
        wait_until(lambda: case.served.desk.inflight == 0, "the place is free")


def test_a_caller_who_leaves_during_an_upload_frees_his_place(policy: Policy) -> None:
    def kept() -> int:
        gc.collect()
        return sum(isinstance(each, Chat) for each in gc.get_objects())

    with between(policy, never_answers) as case:
        with uploading(case.served, "POST /v1/chat/completions", 100) as caller:
            caller.sendall(b"{")
            wait_until(lambda: case.served.desk.inflight == 1, "the upload has a place")
        wait_until(lambda: case.served.desk.inflight == 0, "the place is free")
        assert case.endpoint.received == []
        wait_until(lambda: not kept(), "what he sent is forgotten")


def test_a_method_that_is_refused_keeps_no_place(policy: Policy) -> None:
    with between(policy, never_answers) as case:
        for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            url = f"{case.served.base_url}/chat/completions"
            assert httpx.request(method, url, trust_env=False).status_code == 405
        assert case.served.desk.inflight == 0


def test_a_caller_who_leaves_during_a_refused_upload_is_no_failure(
    policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    with between(policy, never_answers) as case:
        with uploading(case.served, "BREW /v1/chat/completions", 100):
            wait_until(lambda: case.served.lines, "the method is refused")
        assert post(case.served, b"", "/nope").status_code == 404
        assert caplog.records == []


@pytest.mark.parametrize("path", ["/nope", "/v1/models", "/health"])
def test_a_body_that_no_path_wants_is_not_gathered(policy: Policy, path: str) -> None:
    sent = b"x" * (24 << 20)
    with (
        between(policy, never_answers) as case,
        uploading(case.served, f"POST {path}", len(sent)) as caller,
    ):
        tracemalloc.start()
        try:
            caller.sendall(sent)
            assert caller.recv(12).startswith(b"HTTP/1.1 40")
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < len(sent) / 4


def test_a_caller_who_stops_reading_does_not_keep_his_place(policy: Policy) -> None:
    async def floods_events(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(STREAM)
        while True:
            writer.write(chunk(EVENT * 1000))
            await writer.drain()

    with (
        between(policy, floods_events, timeout_s=0.5) as case,
        calling(case.served, stream=True),
    ):
        wait_until(lambda: case.served.desk.inflight == 1, "the request is under way")
        wait_until(lambda: case.served.desk.inflight == 0, "the place is free")


def test_one_too_many_is_told_to_come_again(policy: Policy) -> None:
    with (
        on_a_thread(silent) as endpoint,
        served(policy, endpoint.url, max_inflight=1) as server,
    ):
        with calling(server):
            wait_until(lambda: endpoint.asked == 1, "the endpoint is asked")
            refused = post(server, body())
        wait_until(lambda: server.desk.inflight == 0, "the place is free")
        with calling(server):
            wait_until(lambda: endpoint.asked == 2, "the place was taken again")

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert "--max-inflight" in refused.json()["error"]["message"]


def test_a_failure_of_our_own_tells_where_and_no_contents(policy: Policy) -> None:
    class Broken(Planner):
        def outgoing(self, body: bytes, wanted: bool) -> Outgoing:
            raise KeyError(body.decode())

    with between(policy, never_answers) as case:
        case.served.desk.planner = Broken(policy, "m", greedy=True, seed=None, follow_ups=False)
        answer = post(case.served, body("private"))
        wait_until(lambda: case.served.lines, "there is an access line")

    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "failed: KeyError at test_serve_callers.py:" in case.served.lines[0]
    assert "private" not in answer.text + case.served.lines[0]
