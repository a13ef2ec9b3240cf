"""What a request to ``serve`` may cost before it leaves, and what it cost when it has ended."""

import asyncio
import json
from typing import Any

import httpcore
import pytest

from orchestrator.catalog import Catalog, Model
from orchestrator.serve.bills import Bills, Charge
from orchestrator.serve.errors import Refused
from orchestrator.serve.quotes import Quote, prices_of, quote
from orchestrator.serve.relay import _tell_unsent
from shared.messages import Price

MODEL = "some/model"
LISTED = Catalog(
    "openrouter",
    {
        MODEL: Model(MODEL, Price(prompt_usd=1e-6, completion_usd=4e-6)),
        "a/dear": Model("a/dear", Price(prompt_usd=5e-6, completion_usd=2e-6, request_usd=1e-3)),
        "a/router": Model("a/router"),
    },
)
PRICE_OF = prices_of({"given/model": (1, 2)}, LISTED)
EVENT = [(b"content-type", b"text/event-stream")]


def asked(**fields: Any) -> dict[str, Any]:
    request = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
    return {**request, **fields}


def quoted(**fields: Any) -> Quote:
    return quote(asked(**fields), b"x" * 100, PRICE_OF, "openrouter")


def under(budget_usd: float | None, **fields: Any) -> tuple[Bills, Quote]:
    bills = Bills(budget_usd, PRICE_OF, "openai", max_tokens=50)
    request = {key: value for key, value in asked(**fields).items() if value is not None}
    return bills, bills.quoted(request, json.dumps(request).encode())


def most(found: Quote) -> int:
    assert found.most is not None
    return found.most.nusd()


def answer(**usage: Any) -> bytes:
    choice = {"message": {"content": "Hi."}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def test_each_byte_may_be_a_token_and_the_answer_as_long_as_it_may_be() -> None:
    assert most(quoted()) == 100 * 1000 + 10 * 4000


def test_each_of_several_answers_is_paid_for() -> None:
    assert most(quoted(n=3)) == 3 * most(quoted())
    assert most(quoted(best_of=4, n=2)) == 4 * most(quoted())


def test_of_two_bounds_the_higher_one_counts() -> None:
    assert most(quoted(max_completion_tokens=20)) == 100 * 1000 + 20 * 4000


def test_the_dearest_of_the_models_that_may_answer_counts() -> None:
    assert most(quoted(models=["a/dear"])) == 100 * 5000 + 1_000_000 + 10 * 4000


def test_a_given_price_stands_before_the_list() -> None:
    assert most(quoted(model="given/model")) == 100 * 1000 + 10 * 2000


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "not/listed"}, "--price MODEL=IN,OUT"),
        ({"model": "a/router"}, "price of 'a/router' is not known"),
        ({"models": ["not/listed"]}, "price of 'not/listed' is not known"),
        ({"models": "all"}, "'models' is no list"),
        ({"model": f"{MODEL}:online"}, "':online'"),
        ({"max_tokens": 0}, "'max_tokens' must be a whole number from 1"),
        ({"max_tokens": "200"}, "'max_tokens' must be a whole number"),
        ({"max_tokens": True}, "'max_tokens' must be a whole number"),
        ({"max_completion_tokens": -1}, "'max_completion_tokens' must be"),
        ({"n": 1.5}, "'n' must be"),
        ({"plugins": [{"id": "web"}]}, "'plugins'"),
        ({"web_search_options": {"search_context_size": "low"}}, "'web_search_options'"),
        ({"prediction": {"type": "content", "content": "x"}}, "'prediction'"),
        ({"service_tier": "priority"}, "'service_tier'"),
        ({"modalities": ["text", "audio"]}, "'modalities'"),
        ({"tools": [{"type": "web_search"}]}, "a tool that the endpoint runs"),
        ({"tools": 1}, "a tool that the endpoint runs"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "not only text"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "not only text"),
    ],
)
def test_what_has_no_bound_is_refused_under_a_budget_alone(
    fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match="cannot tell what the request may cost") as refused:
        under(1.0, **fields)

    assert (refused.value.status, refused.value.code) == (400, "no_ceiling")
    assert said in refused.value.message
    assert under(None, **fields)[1].most is None


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
        {"messages": [{"role": "assistant", "content": None}]},
        {"web_search_options": {}, "plugins": [], "service_tier": "auto", "modalities": ["text"]},
    ],
)
def test_texts_and_functions_have_a_bound(fields: dict[str, Any]) -> None:
    assert most(under(1.0, **fields)[1])


@pytest.mark.parametrize("given", [{}, {"max_completion_tokens": None}])
def test_a_request_without_a_bound_gets_the_runs_under_a_budget(given: dict[str, Any]) -> None:
    request = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], **given}
    body = json.dumps(request).encode()

    limited = Bills(1.0, PRICE_OF, "openai", max_tokens=50).quoted(request, body)

    assert json.loads(limited.body)["max_tokens"] == 50
    assert "max_completion_tokens" not in json.loads(limited.body)
    assert Bills(None, PRICE_OF).quoted(request, body).body == body


def test_a_name_that_stands_twice_leaves_once_under_a_budget() -> None:
    twice = b'{"max_tokens": 100000, "model": "some/model", "messages": [], "max_tokens": 10}'

    sent = Bills(1.0, PRICE_OF).quoted(json.loads(twice), twice).body

    assert sent.count(b"max_tokens") == 1


def charged(bills: Bills, found: Quote, *tell: Any) -> Charge:
    """A call that is told so."""

    async def one() -> Charge:
        async with bills.charged(found, 1) as charge:
            for each in tell:
                each(charge)
        return charge

    return asyncio.run(one())


def whole(status: int, body: bytes) -> Any:
    return lambda charge: charge.whole(status, [], body)


def test_a_cost_that_is_named_is_the_bill_to_the_nano_dollar() -> None:
    bills, found = under(1.0)

    charge = charged(bills, found, whole(200, answer(cost=0.000123457, prompt_tokens=9)))

    assert charge.told == "0.000123457"
    assert bills.totals.spent == (0.000123457, 0)
    assert str(bills.totals) == "$0.000123 of $1"


@pytest.mark.parametrize("budget_usd", [None, 1.0])
def test_counted_tokens_at_a_known_price_are_the_bill(budget_usd: float | None) -> None:
    bills, found = under(budget_usd)

    charge = charged(bills, found, whole(200, answer(prompt_tokens=9, completion_tokens=5)))

    assert charge.told == "0.000029000"
    assert bills.totals.spent == (29e-6, 0)
    assert bills.totals.calls == {"known": 1, "perhaps": 0, "unknown": 0}


@pytest.mark.parametrize("tell", [[], [whole(200, answer())], [whole(200, b"{")]])
def test_a_call_that_tells_no_cost_has_perhaps_cost_all_that_it_may(tell: list[Any]) -> None:
    bills, found = under(1.0)

    charge = charged(bills, found, *tell)

    assert charge.told == "unknown"
    assert bills.totals.spent == (0, most(found) / 1e9)
    assert f"at most ${most(found) / 1e9:.6f} for 1 calls" in str(bills.totals)


@pytest.mark.parametrize("tell", [[], [whole(200, answer(prompt_tokens=9, completion_tokens=5))]])
def test_a_cost_that_no_price_tells_is_unknown_and_no_zero(tell: list[Any]) -> None:
    bills, found = under(None, model="not/listed")

    assert charged(bills, found, *tell).told == "unknown"
    assert bills.totals.calls == {"known": 0, "perhaps": 0, "unknown": 1}
    assert str(bills.totals).endswith("the unknown cost of 1 calls")


@pytest.mark.parametrize(
    "tell", [whole(401, b"{}"), lambda charge: _tell_unsent(httpcore.ConnectError(), charge)]
)
def test_what_was_refused_or_never_left_costs_nothing(tell: Any) -> None:
    bills, found = under(1.0)

    assert charged(bills, found, tell).told == "0.000000000"
    assert bills.totals.spent == (0, 0)
    assert not any(bills.totals.calls.values())


def events(*parts: bytes, ended: bool = True) -> Any:
    def tell(charge: Charge) -> None:
        charge.begun(EVENT)
        for part in parts:
            charge.part(part)
        if ended:
            charge.ended()

    return tell


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}\n\n'


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"\r"])
def test_a_stream_is_billed_by_its_usage_wherever_it_is_split(size: int, line: bytes) -> None:
    bills, found = under(1.0)
    text = b'data: {"choices": [{"delta": {"content": "\\"usage\\""}}], "usage": null}\n\n'
    sent = (text + USAGE + b"data: [DONE]\n\n").replace(b"\n", line)

    charged(bills, found, events(*(sent[at : at + size] for at in range(0, len(sent), size))))

    assert bills.totals.spent == (29e-6, 0)


def test_a_caller_who_leaves_after_the_end_leaves_a_known_bill() -> None:
    bills, found = under(1.0)

    charged(bills, found, events(USAGE, b"data: [DONE]\n\n", ended=False))

    assert bills.totals.spent == (29e-6, 0)


@pytest.mark.parametrize(
    "tell", [events(USAGE, ended=False), events(b'data: {"choices": []}\n\n', b"data: [DONE]\n\n")]
)
def test_a_stream_that_broke_off_or_told_no_usage_is_perhaps_billed(tell: Any) -> None:
    bills, found = under(1.0)

    charged(bills, found, tell)

    assert bills.totals.spent == (0, most(found) / 1e9)


def test_the_cap_refuses_what_might_pass_it_and_says_so() -> None:
    bills, found = under(1.5 * 1e-9 * most(under(1.0)[1]))

    charged(bills, found)
    with pytest.raises(Refused, match="lower max_tokens, or start") as refused:
        charged(bills, found)

    assert (refused.value.status, refused.value.code) == (402, "insufficient_quota")
    assert refused.value.reply.status == 402


def test_a_call_waits_for_money_that_calls_under_way_may_bring_back() -> None:
    bills, found = under(1.5 * 1e-9 * most(under(1.0)[1]))

    async def two() -> None:
        async with bills.charged(found, 5) as first:
            second = asyncio.create_task(late())
            await asyncio.sleep(0)
            assert not second.done()
            first.unsent()
        await second

    async def late() -> None:
        async with bills.charged(found, 5) as charge:
            charge.unsent()

    asyncio.run(two())
    assert bills.totals.spent == (0, 0)


def test_a_call_that_no_money_under_way_could_pay_for_does_not_wait() -> None:
    bills, found = under(1.0)
    _, huge = under(1.0, max_tokens=1_000_000)

    async def two() -> None:
        async with bills.charged(found, 5), bills.charged(huge, 600):
            pytest.fail("there is no money")

    with pytest.raises(Refused, match="may cost") as refused:
        asyncio.run(two())
    assert refused.value.status == 402


def test_money_that_does_not_come_back_in_time_is_worth_another_try() -> None:
    bills, found = under(1.5 * 1e-9 * most(under(1.0)[1]))

    async def two() -> None:
        async with bills.charged(found, 5), bills.charged(found, 0.01):
            pytest.fail("there is no money")

    with pytest.raises(Refused, match="held the rest of the budget") as refused:
        asyncio.run(two())
    assert refused.value.status == 429
    assert refused.value.headers == {"Retry-After": "1"}


def test_what_one_model_bills_says_nothing_of_another() -> None:
    """A new model's first call goes alone, however many another one has billed."""
    bills, found = under(1.0)
    _, other = under(1.0, model="given/model")
    charged(bills, found, whole(200, answer(prompt_tokens=9, completion_tokens=5)))

    async def both() -> None:
        async with bills.charged(other, 5):
            async with bills.charged(found, 5):
                pass
            async with bills.charged(other, 0.01):
                pytest.fail("it goes alone")

    with pytest.raises(Refused):
        asyncio.run(both())
