"""The stand-in for OpenRouter, over real sockets: success, refusals, repetition, control."""

import ast
import json
import socket
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import orchestrator.standin
from orchestrator.standin import Running, Settings
from orchestrator.standin.draws import Draws, question
from orchestrator.standin.latency import seconds
from tests.processes import wait_until
from tests.standin_calls import KEYED, MODEL, QUESTION, ask, ask_all, body, call, get

#: Recorded live; see the wire contract.
RECORDED = json.loads("""
{"id":"gen-1779474931-w20BCAngQY7SOa9Zs5L4","object":"chat.completion","created":1779474931,
 "model":"google/gemma-4-26b-a4b-it-20260403","provider":"Cloudflare","system_fingerprint":null,
 "service_tier":null,
 "choices":[{"index":0,"logprobs":null,"finish_reason":"stop","native_finish_reason":"stop",
   "message":{"role":"assistant","content":"ok","refusal":null,"reasoning":"...",
     "reasoning_details":[{"type":"reasoning.text","text":"...","format":"unknown","index":0}]}}],
 "usage":{"prompt_tokens":23,"completion_tokens":60,"total_tokens":83,"cost":2.03e-05,
   "is_byok":false,
   "prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":0,
     "video_tokens":0},
   "cost_details":{"upstream_inference_cost":2.03e-05,"upstream_inference_prompt_cost":2.3e-06,
     "upstream_inference_completions_cost":1.8e-05},
   "completion_tokens_details":{"reasoning_tokens":57,"audio_tokens":0,"image_tokens":0}}}
""")


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_a_success_has_the_shape_of_the_recorded_one(standin: Running) -> None:
    answer = ask(standin, body(model="openai/gpt-oss-20b"))

    assert shape(answer.json) == shape(RECORDED)
    assert answer.headers["x-generation-id"] == answer.json["id"]
    assert answer.json["model"].startswith("openai/gpt-oss-20b-")
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


def test_tokens_cost_what_the_list_says(standin: Running) -> None:
    listed = {model["id"]: model for model in get(standin, "models").json["data"]}[MODEL]["pricing"]
    usage = ask(standin).json["usage"]

    prompt = usage["prompt_tokens"] * float(listed["prompt"])
    completion = usage["completion_tokens"] * float(listed["completion"])
    assert usage["cost"] == pytest.approx(prompt + completion, abs=1e-12)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_an_answer_ends_at_max_tokens(standin: Running) -> None:
    choice, usage = (ask(standin, body(max_tokens=16)).json[key] for key in ("choices", "usage"))

    assert choice[0]["finish_reason"] == "length"
    assert usage["completion_tokens"] == 16


def test_reasoning_counts_in_max_tokens_and_is_billed(standin: Running) -> None:
    answer = ask(standin, body(model="stand-in/reasoner", max_tokens=10))

    assert answer.text == ""
    assert answer.json["choices"][0]["finish_reason"] == "length"
    assert answer.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == 10
    assert answer.json["usage"]["cost"] > 0


@pytest.mark.parametrize(
    ("sent", "status", "message"),
    [
        (b"{", 400, "Input must have at least 1 token."),
        (b'{"model": "stand-in/plain"}', 400, "Input required: specify"),
        (body(model=None, models=5), 400, "No models provided"),
        (body(max_tokens=0), 400, "ZodError"),
        (
            body(
                response_format={
                    "type": "json_schema",
                    "json_schema": {"schema": {"properties": [1]}},
                }
            ),
            400,
            "Provider returned error",
        ),
        (body(model="no/such"), 400, "no/such is not a valid model ID"),
        (body(model="stand-in/gone"), 404, "No endpoints found for stand-in/gone."),
        (body(model="stand-in/reasoner", reasoning={"effort": "none"}), 400, "mandatory"),
        (body("long " * 3000, model="stand-in/short-context"), 400, "context length is 2048"),
        (
            body(
                model="stand-in/no-temperature",
                temperature=1,
                provider={"require_parameters": True},
            ),
            404,
            "can handle the requested parameters",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused_unbilled(
    standin: Running, sent: bytes, status: int, message: str
) -> None:
    answer = ask(standin, sent)

    assert answer.status == status
    assert message in answer.raw.decode()
    assert standin.control("ledger")["total_nano_usd"] == 0


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "No cookie auth credentials found"),
        ({"Authorization": "Bearer sk-or-v1-other"}, "User not found."),
    ],
)
def test_a_key_is_asked_for_but_not_by_the_list_of_models(
    standin: Running, headers: dict[str, str], message: str
) -> None:
    for method, path in (("POST", "chat/completions"), ("GET", "key"), ("GET", "credits")):
        answer = call(standin, method, f"/api/v1/{path}", body(), headers)
        assert (answer.status, answer.json["error"]["message"]) == (401, message)
    assert call(standin, "GET", "/api/v1/models").status == 200

    standin.control("settings", {"key": None})
    assert call(standin, "POST", "/api/v1/chat/completions", body()).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /api/v1/models HTTP/9.9\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_is_not_http_is_answered_and_the_connection_closed(
    standin: Running, sent: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", standin.port), timeout=5) as connection:
        connection.sendall(sent)
        status = int(connection.makefile("rb").read().split(b" ")[1])

    assert 400 <= status <= 505
    assert ask(standin).status == 200


def test_it_says_something_new_every_time_unless_told_not_to(standin: Running) -> None:
    texts = {ask(standin).text for _ in range(4)}
    cold = {ask(standin, body(temperature=0)).text for _ in range(4)}
    seeded = {ask(standin, body(seed=1)).text for _ in range(4)}

    assert (len(texts), len(cold), len(seeded)) == (4, 1, 1)


def test_a_run_repeats_whatever_the_concurrency(standin: Running) -> None:
    bodies = [body(f"{QUESTION} {n}") for n in range(40)] * 2

    def told(at_a_time: int, seed: int) -> list[tuple[int, str]]:
        standin.control("reset", {})
        standin.control("settings", {"seed": seed, "latency_ms": 2, "sigma": 1})
        standin.control("faults", {"rates": {"server": 0.2, "refusal": 0.1, "overloaded": 0.1}})
        found = [
            (answer.status, str(answer.json.get("choices")))
            for answer in ask_all(standin, bodies, at_a_time)
        ]
        # Equal bodies are numbered as they come: as a set, their answers are the same.
        return sorted(found)

    alone = told(1, seed=7)
    assert told(16, seed=7) == alone
    assert told(16, seed=8) != alone
    assert 0 < sum(status != 200 for status, _ in alone) < 60


def test_a_run_of_another_name_is_answered_alike() -> None:
    def asked(run: str, slot: int) -> bytes:
        trace = {"generation_name": f"{run}/s003/e017/k{slot}/generate", "trace_id": run}
        return json.dumps({"model": "m", "trace": trace}, separators=(",", ":")).encode()

    assert question(asked("mine--20261129-2101-aaaa", 2)) == question(asked("other", 2))
    assert question(asked("other", 1)) != question(asked("other", 2))


def test_latency_is_what_was_set(standin: Running) -> None:
    standin.control("settings", {"latency_ms": 120})
    ask(standin)
    standin.control("settings", {"latency_ms": 40, "sigma": 0.8})
    ask_all(standin, [body(str(n)) for n in range(60)], 20)

    wait_until(lambda: not standin.control("received?last=0")["open"], "all have ended")
    first, *others = [each["seconds"] for each in standin.control("received?last=99")["last"]]
    # A machine may be late, but never early.
    assert first >= 0.12
    set_to = Settings(latency_ms=40, sigma=0.8)
    drawn = [seconds(set_to, Draws(set_to.seed, question(body(str(n))), 0)) for n in range(60)]
    both = zip(sorted(others), sorted(drawn), strict=True)
    assert all(took + 0.001 >= least for took, least in both)
    assert 0.02 < median(drawn) < 0.08
    assert max(drawn) > 2 * median(drawn)


def test_a_stream_has_the_same_text_and_ends_with_the_usage(standin: Running) -> None:
    plain = ask(standin, body(temperature=0, stream=False))
    answer = ask(standin, body(temperature=0, stream=True))

    lines = answer.raw.decode().split("\n\n")
    assert lines[0] == ": OPENROUTER PROCESSING"
    assert lines[-2] == "data: [DONE]"
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    text = "".join(event["choices"][0]["delta"]["content"] for event in events)
    finishes = [event["choices"][0]["finish_reason"] for event in events]
    assert (len(text) > 50, len(plain.text) > 50) == (True, True)
    assert finishes[-2:] == ["stop", "stop"]
    assert set(finishes[:-2]) == {None}
    assert [event for event in events if "usage" in event] == events[-1:]


def test_the_control_api_refuses_what_it_does_not_know(standin: Running) -> None:
    for name, sent in (
        ("faults", {"script": ["no_such_fault"]}),
        ("faults", {"rates": {"reset": 0.7, "server": 0.7}}),
        ("faults", {"rates": {"reset": -1}}),
        ("settings", {"no_such_setting": 1}),
        ("settings", {"latency_ms": "fast"}),
        ("nothing", {}),
    ):
        with pytest.raises(ValueError, match=r"."):
            standin.control(name, sent)


def test_no_web_page_controls_it_or_reads_it(standin: Running) -> None:
    form = {"Content-Type": "text/plain"}
    sent = json.dumps({"credit_usd": 1}).encode()

    assert call(standin, "POST", "/_control/settings", sent, form).status == 403
    assert call(standin, "GET", "/_control/received", None, {"Host": "evil.example"}).status == 403
    foreign = {"Origin": "https://evil.example", "X-Control": "1"}
    assert call(standin, "POST", "/_control/settings", sent, foreign).status == 403
    assert call(standin, "GET", "/_control/received", None, {"Host": "localhost:1"}).status == 200


def test_faults_can_be_ordered_for_what_fits(standin: Running) -> None:
    match = {"fault": "server", "model": "mistral", "body": "seventh", "times": 2}
    standin.control("faults", {"matches": [match]})

    statuses = [ask(standin, body(text)).status for text in ("seventh", "first", "seventh") * 2]
    assert statuses == [500, 200, 500, 200, 200, 200]


def test_the_key_is_nowhere_in_the_control_api(standin: Running) -> None:
    ask(standin)
    told = json.dumps([standin.control(name) for name in ("received", "ledger", "settings")])

    assert KEYED["Authorization"].removeprefix("Bearer ") not in told


def test_it_knows_nothing_of_the_rest_of_the_project() -> None:
    folder = Path(orchestrator.standin.__file__).parent
    imported = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}

    others = {name for name in imported if not name.startswith("orchestrator.standin")}
    assert {name.partition(".")[0] for name in others} - sys.stdlib_module_names == {"pydantic"}
