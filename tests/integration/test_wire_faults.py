"""Each fault of sections 4.2 and 4.3 by name, over real sockets: what it asks of the caller."""

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from orchestrator.standin.faults import FAULTS
from shared.wire.client import ChatClient
from shared.wire.verdicts import Classified
from tests.standin_calls import body

#: What the stand-in's errors ask to wait, and how long its slow answers take.
WAIT_S, SLOW_S = 7, 0.8
#: The whole-answer deadline of the calls: the slow ones get a short one.
DEADLINE_S, SHORT_S = 5.0, 0.25
TO_MIDNIGHT = "to midnight"


class Row(NamedTuple):
    #: verdict, scope, kind, billed, throttled.
    expected: str
    #: Seconds, "to midnight", or None: no time is named.
    wait: float | str | None = None
    #: By which name it is counted; "" = its own.
    counted: str = ""
    #: Whether the response cache may answer the retry.
    replay: bool = True


STOP = "stop account rejected no -"
STOP_MODEL = "stop model rejected no -"
REJECT = "reject request rejected no -"
MODERATED = "reject request moderated no -"
OUTAGE = "retry request upstream no -"
LATE = "retry request timeout perhaps -"
BROKEN = "retry request upstream perhaps -"
CUT_OFF = "retry request connection perhaps -"
LIMITED = "retry account rate_limited no throttled"
SAMPLE = "completion request upstream yes -"
UNPRICED = "completion request upstream perhaps -"

BY_STATUS = {
    "invalid_model": Row(STOP_MODEL),
    "bad_request": Row(REJECT),
    "context_length": Row(REJECT),
    "content_policy": Row(MODERATED),
    "validation": Row(REJECT),
    "bad_body": Row(REJECT, counted="validation"),
    "no_model": Row(REJECT, counted="validation"),
    "zod": Row(REJECT, counted="validation"),
    "reasoning_mandatory": Row(REJECT, counted="validation"),
    "unauthorized": Row(STOP),
    "no_key": Row(STOP, counted="unauthorized"),
    "credits": Row(STOP),
    "afford": Row(STOP),
    "weight": Row(STOP),
    "key_limit_402": Row(STOP),
    "in_flight": Row(LIMITED, WAIT_S),
    "key_limit": Row(STOP),
    "guardrail_budget": Row(STOP, counted="key_limit"),
    "workspace_budget": Row(STOP, counted="key_limit"),
    "moderation": Row(MODERATED),
    "guardrail": Row(MODERATED),
    "html_403": Row("retry account rate_limited no -", 60),
    "model_gone": Row(STOP_MODEL),
    "no_endpoints": Row(STOP_MODEL),
    "data_policy": Row(STOP_MODEL, counted="no_endpoints"),
    "no_route": Row(STOP, counted="not_found"),
    "no_generation": Row(STOP, counted="not_found"),
    "timeout": Row(LATE),
    "too_large": Row(REJECT),
    "unprocessable": Row(REJECT),
    "rate_minute": Row(LIMITED, WAIT_S),
    "rate_daily": Row("stop account rate_limited no throttled", TO_MIDNIGHT),
    "rate_upstream": Row("retry model rate_limited no throttled", WAIT_S),
    "no_code": Row(LIMITED, WAIT_S, counted="rate_limited"),
    "html_429": Row(LIMITED, 60),
    "server": Row(OUTAGE),
    "bad_gateway": Row(OUTAGE),
    "html_502": Row(BROKEN),
    "unavailable": Row("retry model upstream no -", WAIT_S),
    "gateway_timeout": Row(LATE),
    "edge_timeout": Row(LATE),
    "overloaded": Row("retry model upstream no throttled", WAIT_S),
}
UNDER_200 = {
    "error_200": Row(OUTAGE, counted="bad_gateway"),
    "error_200_nulls": Row("retry model rate_limited no throttled", 1, counted="rate_upstream"),
    "error_200_daily": Row(
        "stop account rate_limited no throttled", TO_MIDNIGHT, counted="rate_daily"
    ),
    "choices_null": Row(OUTAGE, replay=False),
    "choices_missing": Row(OUTAGE, replay=False),
    "choices_empty": Row(OUTAGE, replay=False),
    "nested_provider": Row(SAMPLE),
    "choice_error": Row(OUTAGE, replay=False),
    "finish_error": Row(OUTAGE, replay=False),
    "empty": Row(OUTAGE, replay=False),
    "null_content": Row("retry request upstream yes -", replay=False),
    "length": Row(SAMPLE),
    "reasoned_out": Row("reject request reasoned_out yes -", replay=False),
    "content_filter": Row(SAMPLE),
    "refusal": Row(SAMPLE),
    "content_parts": Row(SAMPLE),
    "unknown_finish": Row(SAMPLE),
    "fenced_json": Row(SAMPLE, counted="ok"),
    "bad_json": Row(SAMPLE, counted="ok"),
    "no_usage": Row(UNPRICED),
    "other_model": Row(SAMPLE, counted="ok"),
    "cost_missing": Row(UNPRICED, counted="ok"),
    "cost_null": Row(UNPRICED, counted="ok"),
    "cost_nan": Row(UNPRICED, counted="ok"),
    "cost_negative": Row(UNPRICED, counted="ok"),
    "cost_string": Row(SAMPLE, counted="ok"),
}
ON_THE_WIRE = {
    "padded": Row(SAMPLE, counted="ok"),
    "drip": Row(LATE, counted="no_answer"),
    "slow": Row(LATE, counted="no_answer"),
    "truncated_json": Row(BROKEN),
    "short_body": Row(CUT_OFF, counted="connection"),
    "reset": Row(CUT_OFF, counted="connection"),
    "reset_early": Row(CUT_OFF, counted="connection"),
    "empty_body": Row(BROKEN),
    "html_200": Row(BROKEN),
    "sse": Row(BROKEN),
}
TABLE = {**BY_STATUS, **UNDER_200, **ON_THE_WIRE}
#: Samples without text: the model's own doing, and worth the lowest reward.
SILENT = {"content_filter", "refusal"}
TOLD_COSTS = {name for name, row in TABLE.items() if row.expected == SAMPLE}


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running(
        Settings(retry_after_s=WAIT_S, slow_s=SLOW_S, drip_s=SLOW_S, drip_every_s=0.05)
    ) as standin:
        yield standin


@pytest.fixture
def standin(shared: Running) -> Running:
    shared.control("reset", {})
    return shared


def struck(standin: Running, name: str) -> Classified:
    """What the client makes of the next answer, which has the fault."""
    standin.control("faults", {"script": [name]})

    async def once() -> Classified:
        client = ChatClient(standin.base_url, DEFAULT_KEY)
        try:
            return await client.post_chat(
                body(seed=1), SHORT_S if name in {"drip", "slow"} else DEADLINE_S
            )
        finally:
            await client.aclose()

    return asyncio.run(once())


def test_the_table_has_every_fault_of_the_stand_in() -> None:
    assert set(TABLE) == set(FAULTS)
    assert len(TABLE) == len(BY_STATUS) + len(UNDER_200) + len(ON_THE_WIRE)


@pytest.mark.parametrize("name", TABLE)
def test_each_fault_has_its_verdict_scope_and_wait(standin: Running, name: str) -> None:
    row = TABLE[name]
    began = time.time()

    found = struck(standin, name)

    throttled = "throttled" if found.throttled else "-"
    described = f"{found.verdict} {found.scope} {found.kind} {found.billed} {throttled}"
    assert described == row.expected, found.message
    assert found.fault == (row.counted or name)
    assert found.replay == row.replay
    if row.wait is None:
        assert found.wait_s is None
    else:
        wanted = 86_400 - began % 86_400 if row.wait == TO_MIDNIGHT else row.wait
        took = time.time() - began
        assert wanted - took - 1 <= found.wait_s <= wanted + 1
    received = standin.control("received")
    assert (received["count"], received["by_fault"]) == (1, {name: 1})


@pytest.mark.parametrize("name", [name for name in TABLE if "completion" in TABLE[name].expected])
def test_samples_keep_their_text_and_what_they_cost(standin: Running, name: str) -> None:
    answer = struck(standin, name).answer

    assert answer is not None
    assert bool(answer.text) == (name not in SILENT)
    assert (answer.refusal, answer.truncated) == (name == "refusal", name == "length")
    total = standin.control("ledger")["total_nano_usd"]
    assert total > 0
    cost = None if answer.cost_usd is None else round(answer.cost_usd * 1e9)
    assert cost == (total if name in TOLD_COSTS else None)


@pytest.mark.parametrize(
    "name", [name for name in TABLE if "completion" not in TABLE[name].expected]
)
def test_what_is_no_sample_has_no_text_and_says_what_it_is(standin: Running, name: str) -> None:
    found = struck(standin, name)

    assert found.answer is None or found.answer.text == ""
    assert "." in found.message
    assert "\n" not in found.message
    for secret in (DEFAULT_KEY, "user_2StandIn"):
        assert secret not in repr(found)


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name].expected[:4] == "stop"])
def test_a_stop_says_that_the_run_can_be_resumed(standin: Running, name: str) -> None:
    assert "then resume the run." in struck(standin, name).message


@pytest.mark.parametrize("name", ["drip", "slow"])
def test_the_deadline_is_for_the_whole_answer(standin: Running, name: str) -> None:
    began = time.monotonic()

    assert struck(standin, name).fault == "no_answer"

    assert time.monotonic() - began >= SHORT_S
