"""The official openai client against ``orchestrator serve``, as against the endpoint itself."""

import asyncio
import importlib.util
import json
import os
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from orchestrator.config import RunConfig
from orchestrator.serve.chat import LARGEST_BODY
from orchestrator.serve.desk import Keys
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from orchestrator.trained import Policy
from tests.loopback import Request, response
from tests.serving import COMPLETION, PLANNED, UNKNOWN, Served, between, post, served
from tests.standin_calls import MODEL
from tests.trained_policies import VERSION, policy_file

if TYPE_CHECKING:
    from openai import OpenAI

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("openai") and not os.environ.get("CI"), reason="no openai client"
)

#: fault of the endpoint -> status, class of the openai SDK
CLASSES = {
    "bad_request": (400, "BadRequestError"),
    "unauthorized": (401, "AuthenticationError"),
    "credits": (402, "APIStatusError"),
    "in_flight": (402, "APIStatusError"),
    "key_limit": (403, "PermissionDeniedError"),
    "html_403": (403, "PermissionDeniedError"),
    "model_gone": (404, "NotFoundError"),
    "timeout": (408, "APIStatusError"),
    "unprocessable": (422, "UnprocessableEntityError"),
    "rate_minute": (429, "RateLimitError"),
    "no_code": (429, "RateLimitError"),
    "server": (500, "InternalServerError"),
    "html_502": (502, "InternalServerError"),
    "unavailable": (503, "InternalServerError"),
    "edge_timeout": (524, "InternalServerError"),
    "overloaded": (529, "InternalServerError"),
    # Under status 200, or not at all.
    "error_200": (502, "InternalServerError"),
    "error_200_daily": (429, "RateLimitError"),
    "choices_null": (502, "InternalServerError"),
    "choices_empty": (502, "InternalServerError"),
    "truncated_json": (502, "InternalServerError"),
    "short_body": (502, "InternalServerError"),
    "reset": (502, "InternalServerError"),
    "empty_body": (502, "InternalServerError"),
    "html_200": (502, "InternalServerError"),
    "sse": (502, "InternalServerError"),
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(policy_file(tmp_path_factory.mktemp("policy"), RunConfig(model=MODEL)))


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running(Settings()) as endpoint:
        yield endpoint


@pytest.fixture
def standin(shared: Running) -> Running:
    shared.control("reset", {})
    return shared


@pytest.fixture(scope="module")
def server(policy: Policy, shared: Running) -> Iterator[Served]:
    with served(policy, shared.base_url) as found:
        yield found


@pytest.fixture
def openai(server: Served) -> Iterator["OpenAI"]:
    with server.client() as client:
        yield client


def asked(text: str = PLANNED, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "concept-grpo", "messages": messages, "max_tokens": 200, **fields}


def test_an_answer_is_plain_text_to_the_plan_which_its_headers_tell(
    standin: Running, openai: "OpenAI", policy: Policy
) -> None:
    raw = openai.chat.completions.with_raw_response.create(**asked())

    answer = raw.parse()
    plan = policy.plan(PLANNED, greedy=True)
    text = answer.choices[0].message.content
    assert text
    assert not text.startswith("{")
    assert any(concept in text for concept in plan.concepts)
    assert answer.model.startswith(MODEL)
    assert raw.headers["x-concept-grpo"] == "plan"
    assert raw.headers["x-concept-grpo-domain"] == plan.domain
    assert raw.headers["x-concept-grpo-concepts"] == ", ".join(plan.concepts)
    assert raw.headers["x-generation-id"] == answer.id


def test_a_stream_is_planned_and_arrives(standin: Running, openai: "OpenAI") -> None:
    raw = openai.chat.completions.with_raw_response.create(**asked(stream=True))

    chunks = list(raw.parse())
    assert raw.headers["x-concept-grpo"] == "plan"
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert len(chunks) > 2
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].usage


def test_tools_pass_through_and_say_so(standin: Running, openai: "OpenAI") -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}

    raw = openai.chat.completions.with_raw_response.create(**asked(tools=[tool]))

    assert raw.headers["x-concept-grpo"] == "passthrough; reason=tools"
    assert raw.parse().choices


@pytest.mark.parametrize("fault", CLASSES)
def test_each_failure_of_the_endpoint_raises_the_clients_class(
    standin: Running, openai: "OpenAI", fault: str
) -> None:
    from openai import APIStatusError

    standin.control("faults", {"script": [fault]})

    with pytest.raises(APIStatusError) as raised:
        openai.chat.completions.create(**asked())

    error = raised.value
    assert (error.status_code, type(error).__name__) == CLASSES[fault]
    assert isinstance(error.body, dict)
    assert error.body["message"]
    assert {"type", "param", "code"} <= error.body.keys()


def test_a_failed_stream_raises_the_clients_class_too(standin: Running, openai: "OpenAI") -> None:
    from openai import InternalServerError

    standin.control("faults", {"script": ["server"]})

    with pytest.raises(InternalServerError):
        openai.chat.completions.create(**asked(stream=True))


def test_how_long_to_wait_is_kept(standin: Running, openai: "OpenAI") -> None:
    from openai import APIStatusError

    standin.control("faults", {"script": ["in_flight"]})

    with pytest.raises(APIStatusError) as raised:
        openai.chat.completions.create(**asked())

    assert int(raised.value.response.headers["retry-after"]) > 0


def test_the_clients_own_retries_mend_a_broken_answer(standin: Running, server: Served) -> None:
    standin.control("faults", {"script": ["choices_null"]})

    with server.client(retries=1) as client:
        assert client.chat.completions.create(**asked()).choices

    assert standin.control("received")["count"] == 2


def test_models_and_health(standin: Running, openai: "OpenAI", server: Served) -> None:
    assert [model.id for model in openai.models.list()] == ["concept-grpo", MODEL]
    connection = HTTPConnection(urlsplit(server.base_url).netloc, timeout=5)
    connection.request("GET", "/health")
    found = json.loads(connection.getresponse().read())
    connection.close()
    assert found == {"status": "ok", "in_flight": 0, "policy_version": VERSION}


def test_fifty_at_a_time_are_under_way_together(policy: Policy) -> None:
    from openai import AsyncOpenAI

    all_there = asyncio.Barrier(50)

    async def waits_for_all(writer: asyncio.StreamWriter, request: Request) -> None:
        await all_there.wait()
        answer = {**COMPLETION, "id": json.loads(request.body)["user"]}
        writer.write(response(json.dumps(answer).encode()))

    async def fifty(base_url: str) -> list[str]:
        async with AsyncOpenAI(api_key="concept-grpo", base_url=base_url) as client:
            answers = await asyncio.gather(
                *(client.chat.completions.create(**asked(user=str(n))) for n in range(50))
            )
        return [answer.id for answer in answers]

    with between(policy, waits_for_all) as case:
        assert asyncio.run(fifty(case.served.base_url)) == [str(n) for n in range(50)]
        assert case.served.desk.inflight == 0


def test_who_calls_with_which_key(policy: Policy, standin: Running) -> None:
    from openai import AuthenticationError

    with served(policy, standin.base_url, keys=Keys("callers-key", DEFAULT_KEY)) as server:
        with server.client("callers-key") as client:
            assert client.chat.completions.create(**asked()).choices
        for wrong in ("another-key", "concept-grpo", DEFAULT_KEY):
            with server.client(wrong) as client:
                with pytest.raises(AuthenticationError):
                    client.chat.completions.create(**asked())
                with pytest.raises(AuthenticationError):
                    client.models.list()
    with served(policy, standin.base_url, keys=Keys()) as server:
        with server.client(DEFAULT_KEY) as client:
            assert client.chat.completions.create(**asked()).choices
        with server.client("concept-grpo") as client, pytest.raises(AuthenticationError):
            client.chat.completions.create(**asked())


def test_web_pages_cannot_spend_the_servers_money(standin: Running, server: Served) -> None:
    body = json.dumps(asked()).encode()

    refused = post(server, body, Origin="https://evil.example")
    renamed = post(server, body, Host="evil.example")

    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "no_web_pages"
    assert renamed.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    assert standin.control("received")["count"] == 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
def test_garbage_is_refused_in_the_form_of_the_api(
    standin: Running, server: Served, path: str
) -> None:
    for body in (b"", b"{", b"[]", b'{"messages": []}', b"\x00" * 1000):
        refused = post(server, body, path)
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "invalid_request_error"
    assert standin.control("received")["count"] == 0


def test_a_body_that_is_too_large_is_refused_in_words(standin: Running, server: Served) -> None:
    refused = post(server, b" " * (LARGEST_BODY + 1))

    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "body_too_large"
    assert standin.control("received")["count"] == 0


def test_other_paths_and_methods_are_named(server: Served) -> None:
    assert post(server, b"{}", "/v1/embeddings").status_code == 404
    refused = post(server, b"{}", "/v1/models")
    assert refused.status_code == 405
    assert refused.json()["error"]["code"] == "method_not_allowed"


def test_an_access_line_tells_all_but_contents_and_keys(policy: Policy, standin: Running) -> None:
    with served(policy, standin.base_url) as server:
        began = time.monotonic()
        with server.client() as client:
            client.chat.completions.create(**asked(), user="private-user")
            client.chat.completions.create(**asked(f"{UNKNOWN} private-text"))
        post(server, b"{", f"/v1/chat/completions?key={DEFAULT_KEY}")
        post(server, b"{}", "/v1/" + "x" * 500)
        lines, took_s = server.lines, time.monotonic() - began

    said = "\n".join(lines)
    assert [line.split()[1:4] for line in lines[:3]] == [
        ["POST", "/v1/chat/completions", "200"],
        ["POST", "/v1/chat/completions", "200"],
        ["POST", "/v1/chat/completions", "400"],
    ]
    assert "plan: quantum computing" in lines[0]
    assert "passthrough: no-domain" in lines[1]
    assert all(float(line.split()[4]) <= took_s for line in lines)
    assert len(lines[3]) < 150
    for secret in ("private", "qubit", DEFAULT_KEY):
        assert secret not in said
