"""The dollar cap holds where a model bills more than its texts and max_tokens let expect."""

import asyncio
import json
import random
from typing import Any

import pytest
from redis import Redis

from orchestrator.asking import Asker, NoAnswer
from orchestrator.budget import spending
from orchestrator.purse import Purse
from shared.messages import ChatMessage, Limits, Price
from shared.wire.answers import classify
from shared.wire.money import USUAL, Bill, Ceiling, Rates, bill, ceiling
from shared.wire.requests import chat_body, message_bytes
from shared.wire.verdicts import Billed
from tests.calling import calling, holding, sampling
from tests.loopback import Behave, Request, response, serving
from worker.calls import Ask
from worker.governor import Stopped

PRICE = Price(prompt_usd=1e-6, completion_usd=4e-6)
MAX_TOKENS = 100
ENGLISH = "Explain how a qubit differs from a bit, step by step, with an example. "
THAI = "อธิบายว่าคิวบิตแตกต่างจากบิตอย่างไร ทีละขั้นตอน พร้อมตัวอย่าง "


class Books:
    """What a server billed, in USD."""

    def __init__(self) -> None:
        self.usd: list[float] = []
        self.at_once = self.most_at_once = 0


def billing(
    books: Books, tokens_per_character: float, overshoot: float, surcharge: float, named: bool
) -> Behave:
    """Bills so many tokens for a prompt, that much of max_tokens, and more than its list says."""

    async def behave(writer: asyncio.StreamWriter, request: Request) -> None:
        books.at_once += 1
        books.most_at_once = max(books.most_at_once, books.at_once)
        await asyncio.sleep(0.01)
        books.at_once -= 1
        body = json.loads(request.body)
        characters = sum(len(turn["content"]) for turn in body["messages"])
        prompt = round(characters * tokens_per_character)
        completion = round(body["max_tokens"] * overshoot)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        usd = (prompt * PRICE.prompt_usd + completion * PRICE.completion_usd) * surcharge
        books.usd.append(usd)
        choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
        told = usage | ({"cost": usd} if named else {})
        writer.write(response(json.dumps({"choices": [choice], "usage": told}).encode()))

    return behave


def prompt_of(slot: int) -> str:
    """Short and long, in two scripts."""
    texts = random.Random(slot)
    return texts.choice([ENGLISH, THAI]) * texts.randint(1, 20)


def request_of(run: str, slot: int, cap_usd: float | None) -> Ask:
    how = sampling(price=PRICE, max_tokens=MAX_TOKENS)
    name = f"{run}/s001/e001/k{slot}/generate"
    messages = [ChatMessage(role="user", content=prompt_of(slot))]
    body = chat_body(messages, how, rollout=name, run=run, seed=None, schema=None)
    limits = Limits(max_cost_usd=cap_usd, max_inflight=32)
    return Ask(name, "generate", body, how, limits, holding(run))


DEAR = [
    pytest.param(2, 1, 1, True, id="2-tokens-a-character"),
    pytest.param(2, 1, 1, False, id="2-tokens-a-character-unnamed"),
    pytest.param(0.3, 3, 1, True, id="3-times-max-tokens"),
    pytest.param(0.3, 0.5, 4, True, id="4-times-the-price"),
    pytest.param(2, 3, 2, True, id="all-of-it"),
]


@pytest.mark.parametrize(("tokens", "overshoot", "surcharge", "named"), DEAR)
def test_the_fleet_stays_below_its_cap(
    empty_url: str,
    empty_redis: Redis,
    run_id: str,
    tokens: float,
    overshoot: float,
    surcharge: float,
    named: bool,
) -> None:
    books = Books()
    cap_usd = 0.04 * surcharge

    async def scene() -> list[Any]:
        behave = billing(books, tokens, overshoot, surcharge, named)
        async with (
            serving(behave) as server,
            calling(empty_url, server.url) as one,
            calling(empty_url, server.url) as other,
        ):
            asks = [request_of(run_id, slot, cap_usd) for slot in range(160)]
            callers = (one, other)
            work = [callers[slot % 2].ask(ask) for slot, ask in enumerate(asks)]
            return await asyncio.gather(*work, return_exceptions=True)

    ended = asyncio.run(scene())

    stopped = [each for each in ended if isinstance(each, Stopped)]
    assert stopped
    assert {each.stop.kind for each in stopped} == {"budget"}
    assert len(books.usd) > 4
    assert sum(books.usd) <= cap_usd
    # Not timid either: what is left would not have paid for many calls more.
    assert sum(books.usd) > 0.4 * cap_usd
    booked = spending(empty_redis, run_id)
    assert booked.total_usd == pytest.approx(sum(books.usd), rel=1e-6)


def test_only_the_first_call_goes_alone_and_only_under_a_cap(empty_url: str, run_id: str) -> None:
    def most_at_once(cap_usd: float | None, run: str) -> int:
        books = Books()

        async def scene() -> None:
            behave = billing(books, 0.3, 1, 1, True)
            async with serving(behave) as server, calling(empty_url, server.url) as caller:
                await caller.ask(request_of(run, 0, cap_usd))
                assert books.most_at_once == 1
                asks = [caller.ask(request_of(run, slot, cap_usd)) for slot in range(1, 40)]
                await asyncio.gather(*asks)

        asyncio.run(scene())
        return books.most_at_once

    assert most_at_once(100.0, f"{run_id}-capped") > 1
    assert most_at_once(None, f"{run_id}-free") > 1


@pytest.mark.parametrize(("tokens", "overshoot", "surcharge", "named"), DEAR)
def test_one_process_stays_below_its_budget(
    monkeypatch: pytest.MonkeyPatch,
    tokens: float,
    overshoot: float,
    surcharge: float,
    named: bool,
) -> None:
    books = Books()
    budget_usd = 0.04 * surcharge

    async def scene() -> list[Any]:
        async with serving(billing(books, tokens, overshoot, surcharge, named)) as server:
            monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
            how = sampling(price=PRICE, max_tokens=MAX_TOKENS, dialect="openai")
            async with Asker(how, 32, budget_usd) as asker:
                asked = [
                    asker.ask([ChatMessage(role="user", content=prompt_of(slot))])
                    for slot in range(160)
                ]
                return await asyncio.gather(*asked, return_exceptions=True)

    ended = asyncio.run(scene())

    assert {each.kind for each in ended if isinstance(each, NoAnswer)} == {"budget"}
    assert 0.4 * budget_usd < sum(books.usd) <= budget_usd


def test_a_bill_teaches_no_less_than_what_is_usual() -> None:
    how = sampling(price=PRICE, max_tokens=MAX_TOKENS)
    messages = [ChatMessage(role="user", content=ENGLISH)]
    body = chat_body(messages, how, rollout="r", run="run", seed=None, schema=None)

    def rates(prompt: int | None, completion: int | None, cost: float | None) -> Rates | None:
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "cost": cost}
        choice = {"finish_reason": "stop", "message": {"content": "words"}}
        answer = json.dumps({"choices": [choice], "usage": usage}).encode()
        return bill(classify(200, {}, answer, 0), body, how).rates

    assert message_bytes(body) == len(ENGLISH)
    assert rates(10, MAX_TOKENS, None) == USUAL
    assert rates(None, None, None) == USUAL
    # A free answer is one too.
    assert rates(2 * len(ENGLISH), 10, 0.0) == Rates(2.5, 1.0, 1.0)
    # Exactly at the price is no other price.
    assert rates(10, 10, 10e-6 + 40e-6) == USUAL
    assert rates(2 * len(ENGLISH), 3 * MAX_TOKENS, None) == Rates(2.5, 3.75, 1.0)
    dear = rates(10, 10, 2 * (10e-6 + 40e-6))
    assert dear is not None
    assert dear.price == pytest.approx(2.5)
    most = ceiling(body, how)
    assert most.nusd(Rates(2.5, 3.75, 1.0)) > 1e9 * (2 * len(ENGLISH) * 1e-6 + 3 * 400e-6)


def test_a_purse_raises_what_it_holds_for_calls_that_are_out() -> None:
    purse, most = Purse(1e-6), Ceiling(10, 30, 50)
    assert purse.reserve(most)
    # Nothing was billed yet: the next waits, whatever is left.
    assert not purse.reserve(most)
    purse.settle(most, Bill(70, 70, Billed.YES, 10, USUAL))
    assert purse.left_nusd == 930
    assert purse.reserve(most)
    assert purse.reserve(most)
    assert purse.left_nusd == 930 - 2 * 70
    purse.settle(most, Bill(200, 200, Billed.YES, 10, Rates(1.0, 3.0, 1.0)))
    assert purse.left_nusd == 730 - 190
    assert purse.most_nusd(most) == 190
