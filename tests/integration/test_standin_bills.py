"""What the stand-in bills, keeps and limits, over real sockets."""

import time
from typing import Any

import pytest

from orchestrator.standin import Running
from tests.standin_calls import QUESTION, ask, ask_all, body, get


def cost_of(answers: list[Any]) -> int:
    return sum(round(answer.json["usage"]["cost"] * 1e9) for answer in answers)


def test_the_ledger_is_the_sum_of_the_costs_to_the_nano_dollar(standin: Running) -> None:
    answers = ask_all(standin, [body(f"{QUESTION} {n}") for n in range(60)], 8)

    ledger = standin.control("ledger")
    assert ledger["total_nano_usd"] == cost_of(answers) == sum(ledger["generations"].values())
    assert ledger["billed_generations"] == ledger["bodies_billed"] == 60
    assert ledger["bodies_billed_more_than_once"] == 0
    assert get(standin, "key").json["data"]["usage"] == ledger["total_nano_usd"] / 1e9


def test_the_cache_answers_the_same_bytes_free_of_charge(standin: Running) -> None:
    first, second = (ask(standin, x_openrouter_cache="true") for _ in range(2))
    other = ask(standin, body() + b" ", x_openrouter_cache="true")
    plain = ask(standin)

    assert [each.headers.get("x-openrouter-cache-status") for each in (first, second, other)] == [
        "MISS",
        "HIT",
        "MISS",
    ]
    assert "x-openrouter-cache-status" not in plain.headers
    assert (second.text, second.json["id"] != first.json["id"]) == (first.text, True)
    assert second.headers["x-openrouter-cache-source-id"] == first.json["id"]
    usage = second.json["usage"]
    assert [usage["total_tokens"], usage["cost"], usage["completion_tokens"]] == [0, 0, 0]
    billed = standin.control("ledger")["generations"]
    assert (billed[second.json["id"]], billed[first.json["id"]] > 0) == (0, True)


def test_the_cache_forgets_in_time_and_on_request(standin: Running) -> None:
    headers = {"x_openrouter_cache": "true", "x_openrouter_cache_ttl": "1"}
    ask(standin, **headers)
    cleared = ask(standin, x_openrouter_cache_clear="true", **headers)
    time.sleep(1.05)
    expired = ask(standin, **headers)

    assert cleared.headers["x-openrouter-cache-status"] == "MISS"
    assert expired.headers["x-openrouter-cache-status"] == "MISS"


def test_a_lost_generation_is_found_in_the_cache_and_its_cost_by_its_id(standin: Running) -> None:
    standin.control("faults", {"script": ["reset"]})
    with pytest.raises(ConnectionError):
        ask(standin, x_openrouter_cache="true")

    again = ask(standin, x_openrouter_cache="true")
    source = again.headers["x-openrouter-cache-source-id"]
    paid = standin.control("ledger")["total_nano_usd"]
    assert again.json["usage"]["cost"] == 0
    assert get(standin, f"generation?id={source}").json["data"]["total_cost"] == paid / 1e9 > 0
    data = get(standin, f"generation?id={again.json['id']}").json["data"]
    assert (data["total_cost"], data["response_cache_source_id"]) == (0, source)
    assert get(standin, "generation?id=gen-unknown").status == 404


def test_the_rate_limit_holds_in_any_window_and_says_when_it_ends(standin: Running) -> None:
    standin.control("settings", {"rpm": 5, "window_s": 3})

    answers = ask_all(standin, [body(str(n)) for n in range(8)], 4)
    refused = next(answer for answer in answers if answer.status == 429)
    assert [answer.status for answer in answers].count(200) == 5
    metadata = refused.json["error"]["metadata"]
    assert metadata["limit_source"] == "openrouter_free_tier_per_minute"
    at_s = int(metadata["headers"]["X-RateLimit-Reset"]) / 1000
    assert refused.headers["x-ratelimit-reset"] == metadata["headers"]["X-RateLimit-Reset"]
    assert at_s <= time.time() + 3
    time.sleep(max(0.0, at_s - time.time()) + 0.05)
    assert ask(standin).status == 200
    found = standin.control("received?window_s=3")
    assert (found["count"], found["by_refusal"]) == (9, {"rate_minute": 3})


def test_too_many_in_flight_are_told_to_come_back(standin: Running) -> None:
    standin.control("settings", {"max_in_flight": 2, "latency_ms": 1000})

    answers = ask_all(standin, [body(str(n)) for n in range(5)], 5)
    refused = [answer for answer in answers if answer.status == 402]
    assert len(refused) == 3
    assert refused[0].json["error"]["metadata"]["reason"] == "in_flight_budget_exhausted"
    assert int(refused[0].headers["retry-after"]) >= 1
    found = standin.control("received")
    assert found["peak_generating"] == 2


def test_money_ends(standin: Running) -> None:
    standin.control("settings", {"credit": 0.0002})
    statuses = []
    while len(statuses) < 20 and (not statuses or statuses[-1] == 200):
        answer = ask(standin, body(max_tokens=200))
        statuses.append(answer.status)
    assert (statuses[-1], len(statuses) > 1) == (402, True)
    assert "can only afford" in answer.json["error"]["message"]

    standin.control("settings", {"credit": 0})
    metadata = ask(standin).json["error"]["metadata"]
    assert metadata["limit_source"] == "openrouter_credits"

    standin.control("settings", {"credit": None, "key_limit": 0.000001})
    answer = ask(standin)
    assert answer.status == 403
    assert answer.json["error"]["message"].startswith("Key limit exceeded")
    assert get(standin, "key").json["data"]["limit_remaining"] == 0


def test_free_models_have_a_quota_per_day_and_no_price(standin: Running) -> None:
    standin.control("settings", {"free_per_day": 2})
    answers = [ask(standin, body(model="stand-in/free:free")) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].json["usage"]["cost"] == 0
    error = answers[2].json["error"]
    assert error["metadata"]["limit_source"] == "openrouter_free_tier_daily"
    used = get(standin, "key").json["data"]["free_model_daily_requests"]
    assert used == {"used": 3, "limit": 2, "remaining": 0}
