"""A whole run at an endpoint that speaks plain OpenAI: no key, no prices, no books."""

from pathlib import Path

from tests.openrouter_runs import ASKED_HELD_OUT, arguments, result, rollouts
from tests.plain_endpoint import MODEL, plain_endpoint
from tests.running import orchestrator

#: All that every server of this dialect knows.
KNOWN_FIELDS = {"model", "messages", "max_tokens", "user", "temperature", "top_p"}


def test_it_needs_no_key_and_says_what_could_not_be_checked(workplace: Path) -> None:
    words = arguments(workplace, "--steps=1", "--set=group_size=3", judge=False, prompts=3)
    models = (f"--model={MODEL}", f"--judge={MODEL}")

    with plain_endpoint() as server:
        ended = orchestrator(*words, *models, cwd=workplace, OPENROUTER_BASE_URL=server.url)

    assert ended.code == 0, ended.err
    assert "warning  not checked: key and credit (the endpoint has no /key)" in ended.err
    assert f"warning  the price of {MODEL} is unknown: its cost is counted as unknown" in ended.err
    assert "cost unknown: a price stands neither in the endpoint's list nor in prices" in ended.err
    slots = 3 * 3 + ASKED_HELD_OUT
    assert len(server.asked) == 2 * slots
    assert {field for body in server.asked for field in body} <= KNOWN_FIELDS
    assert len({body["user"] for body in server.asked}) == 2 * slots
    assert server.keys == {None}
    rows = rollouts(workplace)
    assert len(rows) == slots
    # It asks for a text with a quality, and for a score, also without a schema.
    assert {row["completion"]["quality"] for row in rows} == {0.7}
    assert all(row["completion"]["text"].startswith("Answer ") for row in rows)
    assert {row["parts"]["judge"] for row in rows} == {0.7}
    assert {row["completion"]["cost_usd"] for row in rows} == {None}
    cost = result(workplace)["cost"]
    assert sum(cost["unknown"].values()) == sum(cost["calls"].values()) == 2 * slots
    assert cost["total_usd"] == 0
    assert cost["faults"] == {}


def test_with_a_price_of_the_config_a_budget_holds_and_costs_are_known(workplace: Path) -> None:
    words = arguments(workplace, "--steps=3", "--set=group_size=3", judge=False, prompts=3)
    #: A call of 40 and 60 tokens.
    cost_usd = 40 * 2e-6 + 60 * 10e-6

    with plain_endpoint() as server:
        ended = orchestrator(
            *(*words, f"--model={MODEL}", f"--set=prices.{MODEL}=[2, 10]", "--budget=0.03"),
            cwd=workplace,
            OPENROUTER_BASE_URL=server.url,
        )

    assert ended.code == 0, ended.err
    assert "($2.00 in, $10.00 out per 1M tokens" in ended.err
    assert "the budget of $0.03 is used up" in ended.err
    assert 0 < len(server.asked) * cost_usd <= 0.03
    costs = {row["completion"]["cost_usd"] for row in rollouts(workplace) if row["completion"]}
    assert {round(cost, 9) for cost in costs} == {round(cost_usd, 9)}
