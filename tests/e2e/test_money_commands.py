"""``orchestrator estimate`` and ``orchestrator doctor``: before money or time is spent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from orchestrator.embedded import free_port
from orchestrator.standin import Running, running
from tests.openrouter_runs import JUDGE, arguments, command, nusd, result
from tests.running import Finished, orchestrator
from tests.standin_calls import MODEL


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running() as standin:
        yield standin


@pytest.fixture
def standin(shared: Running) -> Running:
    shared.control("reset", {})
    return shared


@pytest.fixture
def evicting(redis: Redis) -> Iterator[Redis]:
    """The server with the worker, set up to forget what it is short of memory for."""
    redis.config_set("maxmemory-policy", "allkeys-lru")
    yield redis
    redis.config_set("maxmemory-policy", "noeviction")


def findings(ended: Finished) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ended.out)
    return found


def test_an_estimate_costs_nothing_and_its_ceiling_holds(standin: Running, workplace: Path) -> None:
    words = arguments(workplace, "--steps=1", "--set=group_size=3", prompts=3)

    estimated = command(standin, workplace, "estimate", *words[1:], "--json")

    assert (estimated.code, estimated.err) == (0, "")
    plan = json.loads(estimated.out)
    assert (plan["generations"], plan["judgements"]) == (15, 15)
    assert 0 < plan["expected_usd"] < plan["ceiling_usd"]
    assert 0 < plan["step_ceiling_usd"] < plan["ceiling_usd"]
    assert standin.control("received")["count"] == 0

    # What the same run then really costs.
    assert command(standin, workplace, *words).code == 0
    cost = result(workplace)["cost"]
    spent = cost["total_usd"]
    assert nusd(cost, "spent") == standin.control("ledger")["total_nano_usd"]
    assert spent == pytest.approx(nusd(cost, "spent") / 1e9)
    assert 0.2 * plan["expected_usd"] < spent < plan["ceiling_usd"]


def test_an_estimate_for_people_names_models_prices_and_where_a_cap_would_stop(
    standin: Running, workplace: Path
) -> None:
    words = ("estimate", f"--model={MODEL}", f"--judge={JUDGE}", "--budget=0.05")

    ended = command(standin, workplace, *words)

    assert ended.code == 0
    assert f"model    {MODEL} ($0.10 in, $0.30 out per 1M tokens" in ended.out
    assert f"judge    {JUDGE} ($0.10 in, $0.50 out per 1M tokens" in ended.out
    assert "(every reply at max_tokens)" in ended.out
    assert "cap $0.05: stops in step ~" in ended.out


def test_an_estimate_with_an_unknown_price_is_null_not_0(standin: Running, workplace: Path) -> None:
    ended = command(standin, workplace, "estimate", "--model=stand-in/price-negative", "--json")

    plan = json.loads(ended.out)
    assert (plan["expected_usd"], plan["ceiling_usd"], plan["step_ceiling_usd"]) == (None,) * 3


def test_the_doctor_finds_nothing_wrong_with_what_is_right(
    standin: Running, workplace: Path, server: str, redis: Redis
) -> None:
    words = ("doctor", "--json", f"--model={MODEL}", f"--redis={server}/0")

    ended = command(standin, workplace, *words)

    assert ended.code == 0, ended.out
    found = findings(ended)
    assert all(finding["ok"] for finding in found)
    assert [finding["what"] for finding in found] == [
        *("config", "data", "key", "models", "answer"),
        *("redis", "redis", "workers"),
    ]
    assert "1 online, 8 groups at a time" in found[-1]["words"]
    assert not (workplace / "runs").exists()


def test_the_doctor_refuses_a_server_that_may_evict_paid_results(
    standin: Running, workplace: Path, server: str, evicting: Redis
) -> None:
    words = ("doctor", f"--model={MODEL}", f"--redis={server}/0")

    as_json, for_people = (command(standin, workplace, *words, *more) for more in (("--json",), ()))

    assert (as_json.code, for_people.code) == (3, 3)
    (wrong,) = [finding for finding in findings(as_json) if not finding["ok"]]
    assert wrong["what"] == "redis"
    assert wrong["words"].startswith("maxmemory-policy is allkeys-lru")
    assert "set noeviction" in wrong["words"]
    (line,) = [line for line in for_people.out.splitlines() if line.startswith("FAIL")]
    assert line == f"FAIL  redis     {wrong['words']}"
    password = server.partition("@")[0].rpartition(":")[2]
    assert password not in as_json.out + for_people.out


def test_the_doctor_goes_on_after_an_endpoint_that_is_down(workplace: Path) -> None:
    ended = orchestrator(
        *("doctor", "--json", f"--model={MODEL}"),
        cwd=workplace,
        OPENROUTER_BASE_URL=f"http://127.0.0.1:{free_port()}/v1",
        OPENROUTER_API_KEY="sk-or-v1-not-to-be-shown",
    )

    assert ended.code == 3
    assert [(each["what"], each["ok"]) for each in findings(ended)] == [
        ("config", True),
        ("data", True),
        ("models", False),
        ("engine", True),
    ]
    assert "does not answer" in ended.out
    assert "not-to-be-shown" not in ended.out + ended.err
