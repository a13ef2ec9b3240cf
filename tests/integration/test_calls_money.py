"""The money of governed calls: ours agrees with the stand-in's, and no doubt counts as nothing."""

import asyncio
import json

import pytest
from redis import Redis

from orchestrator.budget import Spending, spending
from orchestrator.standin import Running
from shared.messages import Limits, Price
from tests.calling import (
    PLAIN,
    asked,
    assert_equal_to_the_last_nano_dollar,
    billed_nusd,
    calling,
    held,
    order,
    play,
    spent_nusd,
)
from tests.loopback import Request, response, sends, serving
from worker.calls import Caller, Reply
from worker.governor import Stopped


def test_a_call_that_perhaps_was_paid_stays_in_doubt_until_something_settles_it(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    order(standin, "html_502")
    ask = asked(run_id)

    async def scene(caller: Caller) -> None:
        reply = await caller.ask(ask)
        assert (reply.attempts, reply.answer.cache_hit) == (2, False)

    play(empty_url, standin.base_url, scene)
    spent = spending(empty_redis, run_id)
    assert spent_nusd(spent) == billed_nusd(standin)
    most = 100 * (len(ask.body) // 3 + 1) + 300 * ask.sampling.max_tokens
    assert spent_nusd(spent, "perhaps") == most
    assert spent.unknown["generate"] == 1


@pytest.mark.parametrize("cost", ["cost_missing", "cost_null", "cost_nan", "cost_negative"])
def test_a_cost_that_is_not_told_is_asked_for(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running, cost: str
) -> None:
    order(standin, cost)

    async def scene(caller: Caller) -> None:
        reply = await caller.ask(asked(run_id))
        assert round((reply.cost_usd or 0.0) * 1e9) == billed_nusd(standin)

    play(empty_url, standin.base_url, scene)
    assert_equal_to_the_last_nano_dollar(empty_redis, run_id, standin)


@pytest.mark.parametrize("cost", ["cost_missing", "cost_nan", "no_usage"])
def test_a_cost_that_nobody_tells_is_unknown_and_never_0(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running, cost: str
) -> None:
    spent = without_a_cost(empty_url, empty_redis, run_id, standin, cost)

    assert (spent_nusd(spent), spent.unknown["generate"]) == (0, 1)
    booked = spent_nusd(spent, "estimated") + spent_nusd(spent, "perhaps")
    assert booked >= billed_nusd(standin) > 0


def test_a_cost_that_nobody_tells_is_filled_from_the_price_table(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    spent = without_a_cost(empty_url, empty_redis, run_id, standin, "cost_missing")

    # The tokens were told, so that the table gives the very amount.
    assert spent_nusd(spent, "estimated") == billed_nusd(standin)
    assert spent_nusd(spent, "perhaps") == 0
    assert spent.metrics()["cost/generate"] > 0


def without_a_cost(url: str, redis: Redis, run: str, standin: Running, fault: str) -> Spending:
    """The ledger after a sample whose cost nobody tells, in answer or books."""
    standin.control("settings", {"generation_lag_s": 60})
    order(standin, fault)

    async def scene(caller: Caller) -> None:
        reply = await caller.ask(asked(run))
        assert reply.cost_usd is None

    play(url, standin.base_url, scene)
    return spending(redis, run)


def test_a_reply_names_what_all_its_attempts_cost(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    order(standin, "null_content")
    replies: list[Reply] = []

    async def scene(caller: Caller) -> None:
        replies.append(await caller.ask(asked(run_id)))

    play(empty_url, standin.base_url, scene)
    assert round((replies[0].cost_usd or 0.0) * 1e9) == billed_nusd(standin)


def test_an_answer_lost_after_a_useless_one_is_paid_once(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    standin.control("faults", {"script": ["null_content", "reset"]})

    async def scene(caller: Caller) -> None:
        assert (await caller.ask(asked(run_id))).attempts == 3

    play(empty_url, standin.base_url, scene)
    # The useless one, and the one that was lost and found again.
    assert standin.control("ledger")["billed_generations"] == 2


def test_a_price_per_request_is_part_of_the_cost_and_of_the_ceiling(
    empty_url: str, empty_redis: Redis, run_id: str, standin: Running
) -> None:
    fee = Price(prompt_usd=100e-9, completion_usd=300e-9, request_usd=0.001)

    async def scene(caller: Caller) -> None:
        cheap = Limits(max_cost_usd=0.0009)
        with pytest.raises(Stopped) as stopped:
            await caller.ask(
                asked(run_id, 0, model="stand-in/request-fee", price=fee, limits=cheap)
            )
        assert stopped.value.stop.kind == "budget"
        await caller.ask(asked(f"{run_id}x", 0, model="stand-in/request-fee", price=fee))

    play(empty_url, standin.base_url, scene)
    assert standin.control("received")["count"] == 1
    assert_equal_to_the_last_nano_dollar(empty_redis, f"{run_id}x", standin)
    assert billed_nusd(standin) > 1_000_000


@pytest.mark.parametrize("cost", [1e20, 1e300])
def test_a_cost_beyond_all_reason_is_unknown(
    empty_url: str, empty_redis: Redis, run_id: str, cost: float
) -> None:
    answer = json.dumps(PLAIN | {"usage": PLAIN["usage"] | {"cost": cost}}).encode()

    async def scene() -> None:
        async with (
            serving(sends(response(answer))) as server,
            calling(empty_url, server.url) as caller,
        ):
            assert (await caller.ask(asked(run_id))).answer.text == "ok"

    asyncio.run(scene())
    assert held(empty_redis, run_id) == (0, 0)
    assert spending(empty_redis, run_id).unknown["generate"] == 1


async def no_books(writer: asyncio.StreamWriter, request: Request) -> None:
    """Answers chats without a cost, and keeps who asks for books waiting."""
    if request.line.startswith("GET"):
        await asyncio.sleep(30)
    writer.write(response(json.dumps(PLAIN).encode()))
    await writer.drain()


def test_a_call_cancelled_while_its_cost_is_looked_up_leaves_no_permit(
    empty_url: str, empty_redis: Redis, run_id: str
) -> None:
    async def scene() -> None:
        async with serving(no_books) as server, calling(empty_url, server.url) as caller:
            call = asyncio.create_task(caller.ask(asked(run_id)))
            while len(server.received) < 2:
                await asyncio.sleep(0.01)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(scene())
    assert held(empty_redis, run_id) == (0, 0)


def test_a_plain_endpoint_is_not_asked_for_books_that_it_does_not_keep(
    empty_url: str, empty_redis: Redis, run_id: str
) -> None:
    async def scene() -> None:
        answers = sends(response(json.dumps(PLAIN).encode()))
        async with serving(answers) as server, calling(empty_url, server.url) as caller:
            reply = await caller.ask(asked(run_id, dialect="openai", price=None))
            assert (reply.answer.text, reply.cost_usd) == ("ok", None)
            assert [request.line.split()[0] for request in server.received] == ["POST"]

    asyncio.run(scene())
    assert spending(empty_redis, run_id).unknown["generate"] == 1
