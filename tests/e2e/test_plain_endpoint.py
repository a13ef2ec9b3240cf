"""A whole run at an endpoint that speaks plain OpenAI: no key, no prices, no books."""

import json
from pathlib import Path
from typing import Any

from tests.openrouter_runs import ASKED_HELD_OUT, arguments, result, rollouts
from tests.plain_endpoint import MODEL, plain_endpoint
from tests.running import only_run, orchestrator

#: With quotes that are not escaped.
TEXT = 'She said "qubits" twice, and "bits" once.'
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
    # One small question to each of the two before.
    assert len(server.asked) == 2 * slots + 2
    assert {field for body in server.asked for field in body} <= KNOWN_FIELDS
    assert len({body["user"] for body in server.asked[2:]}) == 2 * slots
    assert server.keys == {None}
    rows = rollouts(workplace)
    assert len(rows) == slots
    # It asks for a text with a quality, and for a score, also without a schema.
    assert {row["completion"]["quality"] for row in rows} == {0.7}
    assert all(row["completion"]["text"].startswith("Answer ") for row in rows)
    assert {row["parts"]["judge"] for row in rows} == {0.7}
    assert {row["completion"]["cost_usd"] for row in rows} == {None}
    cost = result(workplace)["cost"]
    assert sum(cost["unknown"].values()) == sum(cost["calls"].values()) == 2 * slots + 2
    assert cost["total_usd"] is None
    report = (only_run(workplace) / "report.html").read_text("utf-8")
    assert "cost unknown" in report
    assert "$0" not in report
    assert "Nothing was paid for" not in report
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


def test_a_run_asks_as_the_model_turns_out_to_want_it(workplace: Path) -> None:
    words = arguments(workplace, "--steps=1", "--set=group_size=2", judge=False, prompts=2)

    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        if "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return 400, {"error": {"message": said, "param": "max_tokens"}}
        if body["messages"][0]["role"] == "system":
            return 400, {"error": {"message": "System role not supported"}}
        return None

    with plain_endpoint() as server:
        server.refuses = refuse
        ended = orchestrator(
            *words, f"--model={MODEL}", cwd=workplace, OPENROUTER_BASE_URL=server.url
        )

    assert ended.code == 0, ended.err
    assert f"warning  {MODEL} wants max_completion_tokens in place of max_tokens" in ended.err
    assert f"warning  {MODEL} takes no system role" in ended.err
    assert result(workplace)["cost"]["faults"] == {}
    # Two refusals taught it, and no call of the run was refused.
    assert sum(refuse(body) is not None for body in server.asked) == 2


def is_judging(body: dict[str, Any]) -> bool:
    return "material to be judged" in body["messages"][0]["content"]


def test_reasoning_and_broken_json_are_read_and_what_is_cut_before_its_text_fails(
    workplace: Path,
) -> None:
    words = arguments(workplace, "--steps=1", "--set=group_size=3", judge=False, prompts=3)
    forms = (
        ("<think>Hm {x}.</think>" + json.dumps({"generated": TEXT, "quality": 0.4}), "stop"),
        ('{"generated": "' + TEXT + '", "quality": 0.4}', "stop"),
        ('{"quality": 0.4, "generated', "length"),
    )
    with plain_endpoint() as server:
        server.says = lambda body: forms[len(server.asked) % 3]
        ended = orchestrator(
            *words, f"--model={MODEL}", cwd=workplace, OPENROUTER_BASE_URL=server.url
        )

    assert ended.code == 0, ended.err
    rows = rollouts(workplace)
    read = [row["completion"] for row in rows if row["completion"]]
    failures = [row["failure"] for row in rows if row["failure"]]
    assert {(one["text"], one["quality"]) for one in read} == {(TEXT, 0.4)}
    assert {(one["kind"], one["message"]) for one in failures} == {
        (
            "reasoned_out",
            "the answer was cut at max_tokens=800 before its text began; raise max_tokens",
        )
    }
    assert len(read) + len(failures) == len(rows)


def test_a_judge_that_no_score_can_be_read_of_stops_the_run_before_it_has_spent_on(
    workplace: Path,
) -> None:
    words = arguments(workplace, "--steps=20", "--set=group_size=8", judge=False, prompts=4)

    with plain_endpoint() as server:
        server.says = lambda body: ("A fine text, I like it.", "stop") if is_judging(body) else None
        judged = (f"--model={MODEL}", f"--judge={MODEL}", "--set=heldout=")
        ended = orchestrator(*words, *judged, cwd=workplace, OPENROUTER_BASE_URL=server.url)

    assert ended.code == 3, ended.err
    assert "judged texts has a score" in ended.err
    assert "'A fine text, I like it.'" in ended.err
    assert "--resume" in ended.err


def test_a_reward_that_requires_a_quality_that_no_prompt_asks_for_costs_nothing(
    workplace: Path,
) -> None:
    (workplace / "own.py").write_text("def reward(completion, quality):\n    return quality\n")
    words = arguments(workplace, "--steps=1", judge=False, prompts=2)

    with plain_endpoint() as server:
        ended = orchestrator(
            *(*words, f"--model={MODEL}", '--set=reward_funcs=["own:reward"]'),
            cwd=workplace,
            OPENROUTER_BASE_URL=server.url,
        )

    assert ended.code == 2, ended.err
    assert "set self_report = true" in ended.err
    # The small question of the preflight alone.
    assert len(server.asked) <= 1
