"""A model asked by a trained policy, without an engine: against the stand-in, faults and money."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator import Policy, Reply
from orchestrator.asking import Asker, NoAnswer
from orchestrator.config import RunConfig
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from shared.errors import ConceptGrpoError, EnvironmentNotReady, RunFailed, UsageError
from tests.calling import order
from tests.loopback import Request, response, serving
from tests.processes import PATIENCE_S
from tests.standin_calls import MODEL
from tests.trained_policies import policy_file

TEXT = "Explain how qubits differ from bits"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    config = RunConfig(seed=3, self_report=True)
    return Policy.load(policy_file(tmp_path_factory.mktemp("policy"), config))


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running() as standin:
        yield standin


@pytest.fixture
def standin(shared: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    shared.control("settings", Settings(slow_s=3).model_dump(mode="json"))
    shared.control("reset", {})
    monkeypatch.setenv("OPENROUTER_BASE_URL", shared.base_url)
    monkeypatch.setenv("OPENROUTER_API_KEY", DEFAULT_KEY)
    return shared


def billed_usd(standin: Running) -> float:
    return float(standin.control("ledger")["total_nano_usd"]) / 1e9


def calls(standin: Running) -> int:
    return int(standin.control("received")["count"])


def generate(policy: Policy, **more: Any) -> Reply:
    return policy.generate(TEXT, **{"model": MODEL, "seed": 7, "max_tokens": 800, **more})


def refused(kind: type[ConceptGrpoError], policy: Policy, **more: Any) -> str:
    with pytest.raises(kind) as raised:
        generate(policy, **more)
    assert DEFAULT_KEY not in str(raised.value) + repr(raised.value)
    return str(raised.value)


def test_a_reply_has_text_quality_cost_and_the_plan_it_answers(
    policy: Policy, standin: Running
) -> None:
    reply = generate(policy)

    assert reply.plan == policy.plan(TEXT, seed=7)
    assert all(concept in reply.text.lower() for concept in reply.plan.concepts)
    assert reply.quality is not None
    assert 0 <= reply.quality <= 1
    assert reply.model.startswith(MODEL)
    assert reply.cost_usd == pytest.approx(billed_usd(standin))
    assert (reply.finish_reason, calls(standin)) == ("stop", 1)


def test_the_template_engine_answers_without_a_model_key_or_call(
    policy: Policy, standin: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY")

    reply = policy.generate(TEXT, greedy=True)

    assert reply.text == policy.plan(TEXT, greedy=True).prompt.draft
    assert (reply.model, reply.cost_usd, reply.quality) == ("template", 0.0, None)
    assert calls(standin) == 0


def test_what_is_sent_is_what_training_sends(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps(
        {
            "choices": [{"finish_reason": "stop", "message": {"content": "words"}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        }
    ).encode()

    async def behave(writer: asyncio.StreamWriter, request: Request) -> None:
        models = b'{"data": [{"id": "plain"}]}'
        writer.write(response(models if request.line.startswith("GET") else answer))
        await writer.drain()

    async def scene() -> tuple[Reply, dict[str, Any]]:
        async with serving(behave) as server:
            monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
            monkeypatch.setenv("OPENROUTER_API_KEY", DEFAULT_KEY)
            reply = await policy.agenerate(TEXT, model="plain", seed=7, temperature=0.5)
            return reply, json.loads(server.received[-1].body)

    reply, body = asyncio.run(scene())

    # An endpoint of another make names no cost: unknown is not free.
    assert (reply.text, reply.quality, reply.cost_usd) == ("words", None, None)
    assert reply.model == "plain"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("plain", 0.5, 400)
    system, user = body["messages"]
    assert system["content"].startswith(policy.document.base_prompt)
    assert '"quality"' in system["content"]
    assert user == reply.plan.messages[1]


@pytest.mark.parametrize(
    "fault", ["rate_minute", "in_flight", "server", "truncated_json", "reset", "choice_error"]
)
def test_a_passing_fault_is_waited_out_and_its_cost_is_told(
    policy: Policy, standin: Running, fault: str
) -> None:
    order(standin, fault)

    reply = generate(policy)

    assert reply.text
    assert calls(standin) == 2
    if reply.cost_usd is not None:
        assert reply.cost_usd == pytest.approx(billed_usd(standin))


def test_a_retry_after_holds_back_every_call_of_the_loop(policy: Policy, standin: Running) -> None:
    standin.control("settings", Settings(retry_after_s=1).model_dump(mode="json"))
    order(standin, "in_flight", times=1)

    async def scene() -> float:
        began = time.monotonic()
        first = asyncio.create_task(policy.agenerate(TEXT, model=MODEL, seed=1))
        while not standin.control("received")["by_fault"].get("in_flight"):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await policy.agenerate(TEXT, model=MODEL, seed=2)
        seconds = time.monotonic() - began
        await first
        return seconds

    assert asyncio.run(scene()) > 1
    assert calls(standin) == 3


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("credits", EnvironmentNotReady, "Add credits to the account."),
        ("unauthorized", EnvironmentNotReady, "Set a valid OPENROUTER_API_KEY."),
        ("key_limit", EnvironmentNotReady, "A spending limit is used up."),
        ("moderation", RunFailed, "Moderation refused the prompt."),
        ("context_length", RunFailed, "longer than the model's context"),
    ],
)
def test_what_no_repetition_changes_is_said_at_once(
    policy: Policy, standin: Running, fault: str, kind: type[ConceptGrpoError], words: str
) -> None:
    order(standin, fault)

    said = refused(kind, policy)

    assert words in said
    assert "resume" not in said
    assert calls(standin) == 1


def test_after_a_refusal_nobody_asks_again_at_once(policy: Policy, standin: Running) -> None:
    async def scene() -> list[BaseException | Reply]:
        await policy.agenerate(TEXT, model=MODEL)
        with pytest.raises(EnvironmentNotReady):
            await policy.agenerate(TEXT, model=MODEL)
        more = (policy.agenerate(TEXT, model=MODEL) for _ in range(5))
        return list(await asyncio.gather(*more, return_exceptions=True))

    standin.control("faults", {"clear": True, "script": [None, "credits"]})
    ended = asyncio.run(scene())
    assert all("Add credits" in str(error) for error in ended)
    assert calls(standin) == 2
    assert generate(policy).text, "another event loop asks anew"


def test_an_answer_that_never_comes_ends_in_time(policy: Policy, standin: Running) -> None:
    order(standin, "slow", times=None)

    with pytest.raises(NoAnswer, match="No whole answer in time") as raised:
        generate(policy, timeout_s=0.4)

    assert raised.value.kind == "timeout"
    # Nobody knows whether it was billed.
    assert raised.value.cost_usd is None


def test_a_wait_that_is_too_long_is_not_begun(policy: Policy, standin: Running) -> None:
    standin.control("settings", Settings(retry_after_s=600).model_dump(mode="json"))
    order(standin, "in_flight", times=None)
    began = time.monotonic()

    said = refused(RunFailed, policy, timeout_s=500)

    assert "too much money in flight" in said
    assert time.monotonic() - began < PATIENCE_S


def test_a_model_that_is_not_there_is_refused_with_a_hint(policy: Policy, standin: Running) -> None:
    assert f"did you mean {MODEL}" in refused(UsageError, policy, model=MODEL + "x")
    assert "temperature" in refused(UsageError, policy, temperature=9)
    assert calls(standin) == 0


def test_a_model_without_a_key_is_refused(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    monkeypatch.delenv("OPENROUTER_BASE_URL", raising=False)
    with pytest.raises(UsageError, match="OPENROUTER_API_KEY is not set"):
        policy.generate(TEXT, model=MODEL)


def test_in_a_running_event_loop_generate_says_what_to_write(policy: Policy) -> None:
    async def scene() -> None:
        with pytest.raises(UsageError, match=r"await policy\.agenerate"):
            policy.generate(TEXT)
        assert (await policy.agenerate(TEXT)).text

    asyncio.run(scene())


def test_fifty_at_once_are_under_way_together(policy: Policy, standin: Running) -> None:
    standin.control("settings", Settings(latency_ms=1000).model_dump(mode="json"))

    async def scene() -> list[Reply]:
        calls = (policy.agenerate(TEXT, model=MODEL, greedy=True) for _ in range(50))
        return list(await asyncio.gather(*calls))

    replies = asyncio.run(scene())

    # Each is an answer of its own, though all prompts are the same.
    assert len({reply.text for reply in replies}) > 25
    assert standin.control("received")["peak_generating"] > 10


def test_a_budget_is_never_exceeded_and_used_as_far_as_it_goes(
    policy: Policy, standin: Running
) -> None:
    standin.control("settings", Settings(latency_ms=20).model_dump(mode="json"))
    plan = policy.plan(TEXT, seed=7)

    async def scene() -> list[BaseException | None]:
        sampling = policy.models_for(MODEL, max_tokens=800).generator
        async with Asker(sampling, 8, budget_usd=0.002) as asker:
            ended = await asyncio.gather(
                *(asker.ask(plan.prompt.messages) for _ in range(40)), return_exceptions=True
            )
            assert asker.spent.known_usd == pytest.approx(billed_usd(standin))
        return [one if isinstance(one, BaseException) else None for one in ended]

    ended = asyncio.run(scene())

    refusals = [error for error in ended if error is not None]
    assert refusals
    assert all(isinstance(error, NoAnswer) and error.kind == "budget" for error in refusals)
    # What is left is less than one call may cost: 800 tokens at $0.30 per million, and the prompt.
    assert 0.002 - 0.0004 < billed_usd(standin) <= 0.002


def test_a_server_that_quotes_the_key_does_not_bring_it_into_the_error(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def behave(writer: asyncio.StreamWriter, request: Request) -> None:
        if request.line.startswith("GET"):
            writer.write(response(b'{"data": [{"id": "plain"}]}'))
        else:
            said = f"{request.headers['authorization']} is not valid"
            error = json.dumps({"error": {"code": 401, "message": said}}).encode()
            writer.write(response(error, "401 Unauthorized"))
        await writer.drain()

    async def scene() -> str:
        async with serving(behave) as server:
            monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
            monkeypatch.setenv("OPENROUTER_API_KEY", DEFAULT_KEY)
            with pytest.raises(EnvironmentNotReady, match="is not valid") as raised:
                await policy.agenerate(TEXT, model="plain")
            return f"{raised.value!r} {raised.value} {raised.value.__cause__!r}"

    assert DEFAULT_KEY not in asyncio.run(scene())
