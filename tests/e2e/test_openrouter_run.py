"""Whole runs with a hosted model and a judge: faults survived, the cap kept, stops resumed."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.standin import Running, Settings, running
from orchestrator.standin.faults import MIXED
from tests.openrouter_runs import ASKED_HELD_OUT, JUDGE, arguments, command, nusd, result, rollouts
from tests.running import metrics, only_run
from tests.standin_calls import MODEL

#: How we count what the wire brings under other names.
COUNTED_AS = {
    "error_200": "bad_gateway",
    "error_200_nulls": "rate_upstream",
    "no_code": "rate_limited",
    "drip": "no_answer",
    "slow": "no_answer",
    "reset": "connection",
    "reset_early": "connection",
    "short_body": "connection",
}
#: Ordinary samples to the client.
UNCOUNTED = {
    "bad_json",
    "fenced_json",
    "padded",
    "cost_missing",
    "cost_nan",
    "cost_negative",
    "cost_null",
    "cost_string",
}
#: Faults that fail the slot they meet.
REJECTS = {
    "bad_request": "rejected",
    "content_policy": "moderated",
    "context_length": "rejected",
    "guardrail": "moderated",
    "moderation": "moderated",
    "reasoned_out": "reasoned_out",
    "too_large": "rejected",
    "unprocessable": "rejected",
    "validation": "rejected",
}


@pytest.fixture
def standin() -> Iterator[Running]:
    calm = Settings(latency_ms=10, slow_s=600, drip_s=600, retry_after_s=0, noise=0.1)
    with running(calm) as standin:
        yield standin


def test_a_run_survives_every_kind_of_fault_and_counts_each(
    standin: Running, workplace: Path
) -> None:
    # One fault of each kind that a run is to survive, among good answers.
    script = [name for fault in MIXED for name in (fault, None, None, None)]
    standin.control("faults", {"script": script})

    more = ("--steps=2", "--set=group_size=8", "--set=rejudge_fraction=0.5")
    times = ("--set=request_timeout_s=8", "--set=slot_timeout_s=120")
    ended = command(standin, workplace, *arguments(workplace, *more, *times, prompts=6))

    assert ended.code == 0, ended.err
    received = standin.control("received?last=0")
    assert received["by_fault"] == dict.fromkeys(MIXED, 1)
    cost, ledger = result(workplace)["cost"], standin.control("ledger?generations=0")
    counted = Counter(COUNTED_AS.get(name, name) for name in set(MIXED) - UNCOUNTED)
    assert cost["faults"] == counted
    assert sum(cost["calls"].values()) == received["count"]

    # The money: what is certain was billed, and all that was billed is accounted for.
    spent, guessed = nusd(cost, "spent"), nusd(cost, "estimated", "perhaps")
    total = ledger["total_nano_usd"]
    assert 0 < spent <= total <= spent + guessed
    # null_content is paid and useless; what follows it may be lost too.
    assert ledger["bodies_billed_more_than_once"] <= 3

    rows = rollouts(workplace)
    assert len(rows) == 2 * 6 * 8 + ASKED_HELD_OUT
    failed = [row for row in rows if row["failure"]]
    # Two that meet in one slot, at its judges, are one failure.
    assert len(REJECTS) - 2 <= len(failed) <= len(REJECTS)
    assert {row["failure"]["kind"] for row in failed} <= set(REJECTS.values())
    assert {row["reward"] for row in failed} == {None}
    assert all(row["advantage"] in (None, 0) for row in failed)
    assert {row["advantage"] for row in rows if row["purpose"] == "eval"} == {None}
    steps = metrics(only_run(workplace))
    assert sum(step["failed"] for step in steps) == sum(row["purpose"] == "train" for row in failed)
    assert all(step["judge/pairs"] > 10 and 0 < step["judge/noise_std"] < 0.3 for step in steps)
    cut = counted.pop("length")
    assert f"cut      {cut} answers end at max_tokens" in ended.out
    assert f"faults   {' · '.join(f'{k} {n}' for k, n in sorted(counted.items()))}" in ended.out


def test_a_budget_is_never_passed_and_a_larger_one_goes_on(
    standin: Running, workplace: Path
) -> None:
    cap_nusd = 2_500_000
    steps = ("--steps=3", "--set=group_size=6")

    stopped = command(standin, workplace, *arguments(workplace, *steps, "--budget=0.0025"))

    spent = standin.control("ledger")["total_nano_usd"]
    assert stopped.code == 0, stopped.err
    assert cap_nusd / 2 < spent <= cap_nusd
    assert "the budget of $0.0025 is used up" in stopped.err
    assert "resume the run with a higher --budget" in stopped.err
    assert f"resume  orchestrator run --resume {only_run(workplace).name}" in stopped.err
    assert not (only_run(workplace) / "run.json").exists()

    ended = command(standin, workplace, "run", "--resume=latest", "--budget=1")

    assert ended.code == 0, ended.err
    ledger, cost = standin.control("ledger"), result(workplace)["cost"]
    slots = 3 * 4 * 6 + ASKED_HELD_OUT
    assert (ledger["bodies_billed"], ledger["bodies_billed_more_than_once"]) == (2 * slots, 0)
    assert ledger["total_nano_usd"] == nusd(cost, "spent") > spent
    assert nusd(cost, "estimated", "perhaps") == 0
    names = [
        (row["purpose"], row["step"], row["group"], row["slot"]) for row in rollouts(workplace)
    ]
    assert len(names) == len(set(names)) == slots
    assert result(workplace)["steps"] == 3


def test_each_stop_says_what_a_person_must_do_and_the_run_goes_on_after_it(
    standin: Running, workplace: Path
) -> None:
    stops = (
        ("credits", "/s001/", "The credit is used up. Add credits to the account"),
        ("model_gone", JUDGE, "No provider has the model any more. Choose another model"),
        ("unauthorized", "/s002/", "The key was refused. Set a valid OPENROUTER_API_KEY"),
    )
    words = arguments(workplace, "--steps=2", "--set=group_size=4")
    for fault, where, sentence in stops:
        match = {"fault": fault, "body": where, "times": None}
        standin.control("faults", {"clear": True, "matches": [match]})

        ended = command(standin, workplace, *words)

        assert ended.code == 3, ended.err
        assert sentence in ended.err
        assert "then resume the run" in ended.err
        assert "Traceback" not in ended.err
        words = ("run", "--resume=latest")
    standin.control("faults", {"clear": True})

    ended = command(standin, workplace, *words)

    assert ended.code == 0, ended.err
    ledger, cost = standin.control("ledger"), result(workplace)["cost"]
    assert ledger["bodies_billed_more_than_once"] == 0
    assert ledger["total_nano_usd"] == nusd(cost, "spent")
    assert set(cost["faults"]) == {"credits", "model_gone", "unauthorized"}
    # Nobody was told to go away for what a stop did.
    assert [row for row in rollouts(workplace) if row["failure"]] == []


def test_with_max_rpm_a_fleet_of_four_sends_no_more_than_that_and_the_burst(
    standin: Running, workplace: Path
) -> None:
    more = ("--steps=1", "--set=group_size=2", "--workers=4", "--set=worker_groups=2")

    ended = command(
        standin,
        workplace,
        *arguments(workplace, *more, "--set=max_rpm=120", judge=False, prompts=6),
    )

    assert ended.code == 0, ended.err
    assert "+ 4 workers" in ended.err
    received = standin.control("received?last=99")
    calls = 6 * 2 + ASKED_HELD_OUT
    assert received["count"] == calls
    # Two a second, and a second's worth at once: the last leaves 8 s after the first. Each of the
    # four by itself would be done in 2 s; one that is late on its way may make it up to 3 s less.
    at = sorted(each["seconds_ago"] for each in received["last"])
    assert at[-1] - at[0] >= (calls - 2) / 2 - 3
    assert cost_is_exact(standin, workplace)


def cost_is_exact(standin: Running, folder: Path) -> bool:
    spent = nusd(result(folder)["cost"], "spent")
    return bool(standin.control("ledger")["total_nano_usd"] == spent > 0)


def test_every_rollout_tells_who_wrote_it(standin: Running, workplace: Path) -> None:
    standin.control("faults", {"matches": [{"fault": "other_model", "body": "/e", "times": 1}]})
    words = arguments(workplace, "--steps=1", "--set=group_size=2", judge=False, prompts=2)

    ended = command(standin, workplace, *words)

    assert ended.code == 0, ended.err
    written = [row["completion"] for row in rollouts(workplace)]
    assert {each["provider"] for each in written} == {"Mistral", "Cloudflare"}
    assert {each["native_finish_reason"] for each in written} == {"stop"}
    served = Counter(each["model"] for each in written)
    assert served[f"{MODEL}-2506"] == len(written) - 1
    assert all(0 <= each["quality"] <= 1 for each in written)
    config = json.loads((only_run(workplace) / "config.json").read_text())
    assert config["model"] == MODEL
