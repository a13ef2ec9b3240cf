"""Every fault of the wire contract, by name: what arrives, and whether it is billed."""

import contextlib
import json
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead

import pytest

from orchestrator.standin import Running, Settings, running
from orchestrator.standin.faults import FAULTS, Stage
from tests.processes import PATIENCE_S, wait_until
from tests.standin_calls import CACHED, KEYED, Answer, ask, body
from tests.standin_faults import ANSWERS, BESIDE, ERRORS, OTHERS, PAGES, RETRY_AFTER, WIRES

BRIEF = Settings(slow_s=0.3, drip_s=0.3, drip_every_s=0.05, retry_after_s=7)


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running(BRIEF) as standin:
        yield standin


@pytest.fixture
def standin(shared: Running) -> Running:
    shared.control("reset", {})
    return shared


def struck(standin: Running, name: str, **headers: str) -> Answer:
    standin.control("faults", {"script": [name]})
    return ask(standin, **headers)


def billed(standin: Running) -> int:
    return int(standin.control("ledger")["billed_generations"])


def test_every_fault_of_the_table_is_tested_here() -> None:
    tested = {*ERRORS, *ANSWERS, *PAGES, *WIRES, *OTHERS, *BESIDE}

    assert set(FAULTS) == tested
    # 61 of the contract, and html_429 that it calls "alike".
    assert sum(not fault.extra for fault in FAULTS.values()) == 62


@pytest.mark.parametrize("name", ERRORS)
def test_errors_have_their_status_words_and_waits(standin: Running, name: str) -> None:
    status, message, metadata = ERRORS[name]

    answer = struck(standin, name)
    error = answer.json["error"]
    assert (answer.status, error["code"], FAULTS[name].status) == (status, status, status)
    assert message in error["message"]
    assert metadata.items() <= error.get("metadata", {}).items()
    assert ("retry-after" in answer.headers) == (name in RETRY_AFTER)
    assert answer.headers.get("retry-after", "7") == "7"
    assert billed(standin) == 0
    assert not FAULTS[name].billed
    assert ask(standin).status == 200


@pytest.mark.parametrize("name", ["rate_minute", "rate_daily"])
def test_resets_are_told_in_milliseconds(standin: Running, name: str) -> None:
    answer = struck(standin, name)

    at_ms = int(answer.json["error"]["metadata"]["headers"]["X-RateLimit-Reset"])
    assert at_ms == int(answer.headers["x-ratelimit-reset"])
    assert at_ms > 1_700_000_000_000
    assert (at_ms % 86_400_000 == 0) == (name == "rate_daily")


@pytest.mark.parametrize("name", BESIDE)
def test_other_refusals_have_their_status(standin: Running, name: str) -> None:
    answer = struck(standin, name)

    assert (answer.status, answer.json["error"]["code"]) == (BESIDE[name], BESIDE[name])


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_html(standin: Running, name: str) -> None:
    answer = struck(standin, name)

    assert (answer.status, FAULTS[name].status) == (PAGES[name], PAGES[name])
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.raw.startswith(b"<!DOCTYPE html>")
    assert billed(standin) == 0


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_odd_as_documented(standin: Running, name: str) -> None:
    as_documented, is_billed = ANSWERS[name]

    answer = struck(standin, name, x_openrouter_cache="true")
    assert answer.status == 200
    assert as_documented(answer.json)
    assert (billed(standin) == 1, FAULTS[name].billed) == (is_billed, is_billed)
    again = ask(standin, x_openrouter_cache="true")
    assert (again.headers["x-openrouter-cache-status"] == "HIT") == FAULTS[name].stored
    # The ledger knows what the body does not say.
    if is_billed:
        generation = answer.headers["x-generation-id"]
        assert standin.control("ledger")["generations"][generation] > 0


def test_errors_without_a_code(standin: Running) -> None:
    limited, invalid = struck(standin, "no_code"), struck(standin, "zod")

    error = limited.json["error"]
    assert (limited.status, "code" in error, error["http_status"]) == (429, False, 429)
    assert error["availability"]["retry_after"] == 7
    assert (invalid.status, invalid.json["success"]) == (400, False)
    assert invalid.json["error"]["name"] == "ZodError"


@pytest.mark.parametrize(
    ("name", "raises"),
    [("reset", ConnectionResetError), ("short_body", IncompleteRead)],
)
def test_broken_connections(standin: Running, name: str, raises: type[Exception]) -> None:
    with pytest.raises(raises):
        struck(standin, name, x_openrouter_cache="true")

    assert billed(standin) == 1
    again = ask(standin, x_openrouter_cache="true")
    assert again.headers["x-openrouter-cache-status"] == "HIT"
    assert billed(standin) == 1


def test_a_reset_before_any_generation_costs_nothing(standin: Running) -> None:
    with pytest.raises(ConnectionResetError):
        struck(standin, "reset_early", x_openrouter_cache="true")

    assert billed(standin) == 0


@pytest.mark.parametrize("name", ["truncated_json", "empty_body", "sse"])
def test_bodies_that_are_not_json(standin: Running, name: str) -> None:
    answer = struck(standin, name, x_openrouter_cache="true")

    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.raw)
    assert (name == "empty_body") == (answer.raw == b"")
    assert (name == "sse") == (answer.headers["content-type"] == "text/event-stream")
    assert billed(standin) == 1
    again = ask(standin, x_openrouter_cache="true")
    assert again.headers["x-openrouter-cache-status"] == "HIT"


@pytest.mark.parametrize(("name", "seconds"), [("padded", 0.0), ("drip", 0.3), ("slow", 0.3)])
def test_answers_that_keep_one_waiting(standin: Running, name: str, seconds: float) -> None:
    answer = struck(standin, name)

    blanks = len(answer.raw) - len(answer.raw.lstrip())
    assert answer.text
    assert (blanks > 0) == (name != "slow")
    assert standin.control("received")["last"][-1]["seconds"] >= seconds
    assert billed(standin) == 1


def test_a_client_that_does_not_wait_pays_and_finds_the_answer(standin: Running) -> None:
    standin.control("settings", {"slow_s": 3600})
    standin.control("faults", {"script": ["slow"]})
    connection = HTTPConnection("127.0.0.1", standin.port, timeout=PATIENCE_S)
    connection.request("POST", "/api/v1/chat/completions", body(), {**KEYED, **CACHED})
    wait_until(lambda: billed(standin), "the answer is written")
    connection.close()
    standin.control("settings", {"slow_s": BRIEF.slow_s})

    assert ask(standin, x_openrouter_cache="true").json["usage"]["cost"] == 0
    assert billed(standin) == 1


def test_seeded_rates_meet_the_same_bodies_again(standin: Running) -> None:
    def met(rates: dict[str, float]) -> list[str | None]:
        standin.control("reset", {})
        standin.control("faults", {"rates": rates})
        for n in range(60):
            with contextlib.suppress(ConnectionError, IncompleteRead):
                ask(standin, body(f"question {n}"))
        return [each["fault"] for each in standin.control("received?last=60")["last"]]

    first = met({"bad_gateway": 0.3, "reset": 0.2})
    assert met({"bad_gateway": 0.3, "reset": 0.2}) == first
    assert 8 < first.count("bad_gateway") < 30
    assert 3 < first.count("reset") < 22


def test_a_mixture_holds_all_kinds_that_need_no_person(standin: Running) -> None:
    standin.control("faults", {"rates": {"mixed": 0.5}})

    rates = standin.control("faults")["rates"]
    assert sum(rates.values()) == pytest.approx(0.5)
    assert not [name for name in rates if FAULTS[name].stops]
    assert {FAULTS[name].stage for name in rates} == set(Stage)
