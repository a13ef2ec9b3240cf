"""The cap and the bill of ``orchestrator serve``, against what the stand-in books."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from orchestrator.catalog import Catalog, Model
from orchestrator.config import RunConfig
from orchestrator.serve.bills import HEADER, Bills
from orchestrator.serve.desk import Keys
from orchestrator.serve.quotes import prices_of
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from orchestrator.trained import Policy
from shared.messages import Price
from tests.loopback import Request, never_answers
from tests.processes import wait_until
from tests.running import started
from tests.serving import (
    EVENT,
    PLANNED,
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

PRICE = Price(prompt_usd=1e-6, completion_usd=4e-6)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    policy_file(folder, RunConfig(model=MODEL))
    return folder


@pytest.fixture(scope="module")
def policy(place: Path) -> Policy:
    return Policy.load(place / "policy.json")


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running(Settings()) as endpoint:
        yield endpoint


@pytest.fixture
def standin(shared: Running) -> Running:
    shared.control("reset", {})
    return shared


def budget(usd: float | None, price: Price | None = PRICE) -> Bills:
    listed = Catalog("openrouter", {MODEL: Model(MODEL, price)})
    return Bills(usd, prices_of({}, listed), listed.dialect)


def billed(standin: Running) -> int:
    """Nano-dollars."""
    return int(standin.control("ledger")["total_nano_usd"])


def known(server: Served) -> int:
    return round(server.desk.bills.totals.spent.known_usd * 1e9)


@pytest.mark.parametrize("usd", [None, 1.0])
@pytest.mark.parametrize("passthrough", [False, True])
def test_the_bill_is_the_endpoints_to_the_nano_dollar(
    policy: Policy, standin: Running, usd: float | None, passthrough: bool
) -> None:
    headers = {"x-concept-grpo": "off"} if passthrough else {}
    with served(policy, standin.base_url, bills=budget(usd)) as server:
        answers = [post(server, body(max_tokens=40 + n), **headers) for n in range(5)]

        told = [round(float(answer.headers[HEADER]) * 1e9) for answer in answers]
        assert min(told) > 0
        assert sum(told) == known(server) == billed(standin)
        assert f"cost {answers[0].headers[HEADER]}" in server.lines[0]


@pytest.mark.parametrize("usd", [None, 1.0])
def test_streams_are_billed_by_what_they_say_of_their_usage(
    policy: Policy, standin: Running, usd: float | None
) -> None:
    with served(policy, standin.base_url, bills=budget(usd)) as server:
        answer = post(server, body(max_tokens=60, stream=True))
        wait_until(lambda: server.lines, "there is an access line")

        assert b"[DONE]" in answer.content
        assert HEADER not in answer.headers
        assert known(server) == billed(standin) > 0
        assert server.desk.bills.totals.spent.perhaps_usd == 0


def test_at_the_cap_no_call_leaves_and_the_client_does_not_try_again(
    policy: Policy, standin: Running
) -> None:
    openai = pytest.importorskip("openai")
    with served(policy, standin.base_url, bills=budget(0.002)) as server:
        assert post(server, body(max_tokens=100)).status_code == 200
        left = billed(standin)
        with server.client(retries=3) as client, pytest.raises(openai.APIStatusError) as refused:
            client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": PLANNED}], max_tokens=10_000
            )

        assert refused.value.status_code == 402
        assert refused.value.code == "insufficient_quota"
        assert "lower max_tokens" in refused.value.message
        wait_until(lambda: len(server.lines) > 1, "there is an access line of each")
        assert len(server.lines) == 2
        assert billed(standin) == left


def test_twenty_callers_at_once_never_pass_the_cap(policy: Policy, standin: Running) -> None:
    usd = 0.003
    standin.control("settings", {"latency_ms": 20})
    with served(policy, standin.base_url, bills=budget(usd)) as server, ThreadPoolExecutor(20) as p:
        answers = list(p.map(lambda n: post(server, body(max_tokens=100 + n % 20)), range(100)))

    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 402}
    assert known(server) == billed(standin)
    assert 0 < billed(standin) <= usd * 1e9


def test_a_model_without_a_price_is_refused_before_its_call_leaves(
    policy: Policy, standin: Running
) -> None:
    with served(policy, standin.base_url, bills=budget(1.0)) as server:
        refused = post(server, body(model="not/listed"), **{"x-concept-grpo": "off"})

    assert refused.status_code == 400
    assert "the price of 'not/listed' is not known" in refused.json()["error"]["message"]
    assert billed(standin) == 0


def test_a_request_without_max_tokens_leaves_with_the_runs(policy: Policy) -> None:
    with between(policy, never_answers, timeout_s=1, bills=budget(1.0)) as case:
        assert post(case.served, body("Say hello")).status_code == 504
        _, fields = case.received()

        assert fields["max_tokens"] == 400
        assert case.served.desk.bills.totals.calls["perhaps"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_has_perhaps_been_billed(policy: Policy, stream: bool) -> None:
    with (
        on_a_thread(silent) as endpoint,
        served(policy, endpoint.url, bills=budget(1.0)) as server,
    ):
        with calling(server, stream=stream, max_tokens=100):
            wait_until(lambda: endpoint.asked == 1, "the endpoint is asked")
        wait_until(lambda: server.lines, "there is an access line")

        assert server.desk.bills.totals.spent.perhaps_usd > 100 * PRICE.completion_usd


def test_who_leaves_a_stream_has_perhaps_been_billed(policy: Policy) -> None:
    async def goes_on(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(STREAM)
        while True:
            writer.write(chunk(EVENT))
            await writer.drain()
            await asyncio.sleep(0.01)

    with between(policy, goes_on, bills=budget(1.0)) as case:
        url = f"{case.served.base_url}/chat/completions"
        sent = body(stream=True, max_tokens=100)
        with httpx.stream("POST", url, content=sent, timeout=10, trust_env=False) as answer:
            assert next(answer.iter_raw()).startswith(b"data:")
        wait_until(lambda: case.served.lines, "there is an access line")

        assert case.served.desk.bills.totals.calls == {"known": 0, "perhaps": 1, "unknown": 0}


def test_an_endpoint_that_is_away_bills_nothing(policy: Policy) -> None:
    with served(policy, "http://127.0.0.1:9/v1", bills=budget(1.0)) as server:
        assert post(server, body(max_tokens=100)).status_code == 502
        assert server.desk.bills.totals.spent == (0, 0)


def test_prometheus_reads_the_bill_if_it_may_call(policy: Policy, standin: Running) -> None:
    keys = Keys("for-callers", DEFAULT_KEY)
    allowed = {"Authorization": "Bearer for-callers"}
    with served(policy, standin.base_url, keys=keys, bills=budget(1.0)) as server:
        assert post(server, body(max_tokens=40), **allowed).status_code == 200
        url = f"{server.base_url.removesuffix('/v1')}/metrics"
        refused = httpx.get(url, trust_env=False)
        shown = httpx.get(url, headers=allowed, trust_env=False)

    assert refused.status_code == 401
    assert shown.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in shown.text.splitlines() if line[0] != "#")
    assert round(float(lines["cgrpo_serve_cost_usd_total"]) * 1e9) == billed(standin)
    assert lines['cgrpo_serve_calls_total{cost="known"}'] == "1.0"
    assert lines["cgrpo_serve_budget_usd"] == "1.0"


def test_the_command_keeps_its_budget_and_ends_with_the_bill(place: Path, standin: Running) -> None:
    command = ("serve", "policy.json", "--port=0", f"--upstream={standin.base_url}", "--json")
    with started(*command, "--budget=1", cwd=place, OPENROUTER_API_KEY=DEFAULT_KEY) as server:
        server.await_words("model ")
        url = json.loads((place / "command.out").read_text(encoding="utf-8"))["url"]
        answer = httpx.post(f"{url}/chat/completions", content=body(), timeout=10, trust_env=False)
        server.process.terminate()
        ended = server.end()

    assert round(float(answer.headers[HEADER]) * 1e9) == billed(standin)
    assert f"cost     ${billed(standin) / 1e9:.6f} of $1" in ended.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--budget=1", "--model=plain/unpriced"), "has no price that --budget could go by"),
        (("--budget=0",), "give dollars above 0"),
        (("--budget=nan",), "give dollars above 0"),
        (("--timeout-s=nan",), "'nan' is not a finite number"),
        (("--price=x",), "write MODEL=IN,OUT"),
    ],
)
def test_a_budget_that_could_not_be_kept_is_refused_at_the_start(
    place: Path, standin: Running, given: tuple[str, ...], said: str
) -> None:
    command = ("serve", "policy.json", "--port=0", f"--upstream={standin.base_url}", *given)
    with started(*command, cwd=place, OPENROUTER_API_KEY=DEFAULT_KEY) as server:
        ended = server.end()

    assert ended.code == 2
    assert said in ended.err
