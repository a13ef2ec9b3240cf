"""``orchestrator eval``: who is compared, what it costs, what is missing, what the gate tests."""

import json
import signal
from pathlib import Path

import pytest

from orchestrator.comparison.by_reward import Options, plan
from orchestrator.data import BUILTIN_TRAIN
from orchestrator.paired import Comparison, worst
from orchestrator.run_directory import RunDirectory
from shared.messages import SlotPrompt
from tests.comparing import TEXTS, Bench, copied_run
from tests.processes import wait_until
from tests.running import Ended, run_directories, started
from tests.standin_calls import MODEL
from tests.terminal import terminal

ARMS = ("initial", "plain", "trained")


@pytest.fixture
def at(comparing: Bench, small_run: Ended) -> Bench:
    copied_run(small_run, comparing.folder, "one--run")
    return comparing


def asked(*more: str) -> tuple[str, ...]:
    return ("eval", "one--run", "--data=fresh.jsonl", f"--model={MODEL}", "-n2", *more)


def test_every_completion_is_paid_for_once_and_the_cost_is_the_bill(at: Bench) -> None:
    found = at.say(*asked("--json")).json

    assert at.calls() == len(ARMS) * len(TEXTS) * 2
    assert round(found["cost"]["total_usd"] * 1e9) == at.billed() > 0
    assert found["prompts"] == found["gain"]["prompts"] == len(TEXTS)
    assert set(found["rewards"]) == set(ARMS)
    assert set(found["against"]) == {"initial", "plain"}
    gain = found["gain"]
    assert gain["wins"] + gain["ties"] + gain["losses"] == len(TEXTS)
    assert gain["low"] <= gain["gain"] <= gain["high"]
    assert found["verdict"] == gain["verdict"] == found["against"]["plain"]["verdict"]
    assert found["verdict"] == worst(Comparison.read(each) for each in found["against"].values())
    assert {each["completions"] for each in found["answers"].values()} == {len(TEXTS) * 2}
    assert found["missing"] == {"pairs": 0, "completions": dict.fromkeys(ARMS, 0)}

    # More samples and another baseline ask only for what is new; the same command for nothing.
    again = at.say(*asked("--json", "--baseline=plain")).json
    assert again["against"] == found["against"]
    assert again["gain"] == found["against"]["plain"]
    assert at.calls() == len(ARMS) * len(TEXTS) * 2
    more = at.say(*asked("--json", "-n3")).json
    assert more["samples"] == 3
    assert at.calls() == len(ARMS) * len(TEXTS) * 3
    assert round(more["cost"]["total_usd"] * 1e9) == at.billed()


def test_all_policies_have_the_same_draws_and_sampling_seeds(at: Bench) -> None:
    directory = RunDirectory.find(Path("runs"), "one--run")
    options = Options(Path("fresh.jsonl"), 2, "sampled", model=MODEL)

    found = plan(directory, options, baseline="one--run")

    prompts = dict[str, list[SlotPrompt]]()
    for one in found.wanted():
        prompts.setdefault(one.arm, []).extend(one.job.generate.prompts)
    (itself,) = prompts.keys() - set(ARMS)
    assert prompts[itself] == prompts["trained"] != prompts["initial"]
    seeds = {arm: [prompt.seed for prompt in each] for arm, each in prompts.items()}
    assert seeds["initial"] == seeds["plain"] == seeds["trained"]
    assert len(set(seeds["trained"])) == 2 * len(TEXTS)


def test_an_interrupted_evaluation_goes_on_and_pays_for_nothing_twice(at: Bench) -> None:
    # Twelve answers come, and then each takes so long that no machine gets far.
    at.standin.control("settings", {"slow_s": 4})
    at.standin.control("faults", {"script": [None] * 12 + ["slow"] * 60})
    environment = {
        "OPENROUTER_BASE_URL": at.standin.base_url,
        "OPENROUTER_API_KEY": "sk-or-v1-stand-in",
    }
    limited = (*asked("--yes"), f"--redis={at.url}")
    config = at.folder / "runs" / "one--run" / "config.json"
    fields = json.loads(config.read_text("utf-8"))
    config.write_text(json.dumps({**fields, "max_inflight": 4}), encoding="utf-8")
    with started(*limited, cwd=at.folder, **environment) as command:
        wait_until(lambda: at.calls() >= 12, "some calls made")
        command.process.send_signal(signal.SIGINT)
        ended = command.end()

    assert ended.code == 130, ended.err
    assert "repeat the command to go on" in ended.err
    paid = at.calls()
    assert 12 <= paid < len(ARMS) * len(TEXTS) * 2
    at.standin.control("faults", {"clear": True})

    found = at.say(*asked("--json")).json

    ledger = at.standin.control("ledger")
    assert ledger["bodies_billed"] == len(ARMS) * len(TEXTS) * 2
    assert ledger["bodies_billed_more_than_once"] == 0
    assert round(found["cost"]["total_usd"] * 1e9) == at.billed()
    assert found["missing"]["pairs"] == 0


def test_a_budget_is_never_passed_fails_the_gate_and_a_larger_one_goes_on(at: Bench) -> None:
    stopped = at.say(*asked("--budget=0.001", "--min-gain=-1"))

    assert stopped.code == 4
    assert "the budget of $0.001 is used up" in stopped.err
    assert "repeat the command" in stopped.err
    assert 0 < at.billed() <= 1_000_000

    found = at.say(*asked("--budget=1", "--min-gain=-1", "--json"))

    assert found.code == 0, found.err
    assert found.json["gate"]["passed"]
    assert at.standin.control("ledger")["bodies_billed_more_than_once"] == 0
    assert round(found.json["cost"]["total_usd"] * 1e9) == at.billed()


def test_what_failed_is_missing_and_is_asked_for_again(at: Bench) -> None:
    failing = {"fault": "bad_request", "body": "trained-e003", "times": None}
    at.standin.control("faults", {"matches": [failing]})

    found = at.say(*asked("--json")).json

    assert found["missing"] == {"pairs": 1, "completions": {"initial": 0, "plain": 0, "trained": 2}}
    assert found["gain"]["prompts"] == len(TEXTS) - 1
    said = at.say(*asked())
    assert "missing  1 pairs; completions without a reward: trained 2" in said.out

    at.standin.control("faults", {"clear": True})
    before = at.calls()
    whole = at.say(*asked("--json")).json

    assert at.calls() == before + 2
    assert whole["missing"]["pairs"] == 0
    assert whole["gain"]["prompts"] == len(TEXTS)


def test_the_gate_says_what_it_tests_and_needs_enough_prompts(at: Bench) -> None:
    template = ("eval", "one--run", "--data=fresh.jsonl", "-n1")
    passed = at.say(*template, "--min-gain=-1")
    failed = at.say(*template, "--min-gain=0.99", "--json")

    assert passed.code == 0
    assert "passed: the lower end of the 95% interval of trained - initial is" in passed.out
    assert failed.code == 4
    assert failed.json["gate"]["passed"] is False
    assert f"is {failed.json['gain']['low']:+.4f}, below +0.9900" in failed.err
    at.data(*TEXTS[:5])
    few = at.say(*template, "--min-gain=-1")
    assert few.code == 4
    assert "6 are the fewest that can show anything" in few.err
    assert at.calls() == 0


def test_prompts_that_were_trained_on_match_nothing_or_are_repeated_are_counted(
    at: Bench,
) -> None:
    trained = json.loads(BUILTIN_TRAIN.read_text("utf-8").splitlines()[0])["text"]
    at.data(*TEXTS, f"  {trained.upper()}", "Cook an egg.", TEXTS[0])

    said = at.say("eval", "one--run", "--data=fresh.jsonl", "-n1")
    found = at.say("eval", "one--run", "--data=fresh.jsonl", "-n1", "--json").json

    assert "WARNING  1 of the 10 prompts were TRAINED ON (line 9)" in said.err
    assert "WARNING  1 of the 10 prompts were TRAINED ON (line 9)" in said.out
    assert "1 prompts match no domain and are left out (line 10)" in said.out
    assert found["trained_on"] == ["fresh.jsonl:9"]
    assert found["unmatched"] == ["fresh.jsonl:10"]
    assert (found["prompts"], found["distinct_prompts"], found["gain"]["prompts"]) == (10, 9, 9)


def test_another_run_or_policy_file_can_be_compared_with(at: Bench, small_run: Ended) -> None:
    copied_run(small_run, at.folder, "other--run", liked="decoherence")
    words = ("eval", "one--run", "--data=fresh.jsonl", "-n1", "--json")

    against = at.say(*words, "--baseline=other--run").json
    itself = at.say(*words, "--policy=runs/one--run/policy.json", "--baseline=one--run").json
    other = at.say(*words, "--policy=runs/other--run/policy.json").json

    assert set(against["against"]) == {"initial", "baseline"}
    assert against["names"]["baseline"] == "other--run"
    assert against["gain"]["gain"] != 0
    assert (itself["gain"]["gain"], itself["gain"]["ties"]) == (0, len(TEXTS))
    assert other["rewards"]["trained"] == pytest.approx(against["rewards"]["baseline"])


def test_a_dry_run_and_a_kept_result_start_nothing(at: Bench) -> None:
    dry = at.say(*asked("--dry-run"))

    assert dry.code == 0
    assert "plan     48 completions" in dry.err
    assert "estimate $" in dry.err
    assert at.calls() == 0
    assert not (at.folder / "runs" / "one--run" / "evaluations").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nothing", "--data=fresh.jsonl"), "no run called 'nothing'"),
        (("", "--data=fresh.jsonl"), "'' names no run"),
        (("one--run", "--data=missing.jsonl"), "missing.jsonl: no such file"),
        (("one--run", "--data=runs"), "runs: is a directory"),
        (("one--run", "--data=-"), "the prompts are read more than once"),
        (("one--run", "--data=broken.jsonl"), "broken.jsonl:1: "),
        (("one--run", "--data=eggs.jsonl"), "none of its prompts matches a domain"),
        (("one--run", "--data=fresh.jsonl", "--baseline=plain"), "nothing to say without concepts"),
        (("one--run", "--data=fresh.jsonl", "--baseline=nobody"), "no run called 'nobody'"),
        (("one--run", "--data=fresh.jsonl", "--policy=fresh.jsonl"), "says no known format"),
        (("one--run", "--data=fresh.jsonl", "--policy=none.json"), "none.json: no such file"),
        (("one--run", "--data=fresh.jsonl", "--policy=egg.json"), "no policy for the domains"),
        (("one--run", "--data=fresh.jsonl", "--model=mistral/smal"), "has no model 'mistral/smal'"),
        (("one--run", "--data=fresh.jsonl", "--min-gain=inf"), "give a finite number"),
        (("one--run", "--data=fresh.jsonl", "--budget=0"), "give dollars above 0"),
        (("one--run", "--data=fresh.jsonl", "--budget=nan"), "give dollars above 0"),
        (("one--run", "--data=fresh.jsonl", "-n0"), "0 is not in the range"),
        (("one--run",), "Missing option '--data'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_evaluated_is_refused_in_a_sentence(
    at: Bench, words: tuple[str, ...], sentence: str
) -> None:
    (at.folder / "broken.jsonl").write_text('{"text": "Explain qubits"\n', encoding="utf-8")
    (at.folder / "egg.json").write_text('{"format": "egg"}', encoding="utf-8")
    at.data("Cook an egg.", name="eggs.jsonl")
    before = sorted(at.folder.rglob("*"))

    said = at.say("eval", *words)

    assert said.code == 2
    assert sentence in said.err
    assert (said.out, at.calls()) == ("", 0)
    assert sorted(at.folder.rglob("*")) == before
    assert run_directories(at.folder)


def test_a_baseline_that_is_paid_for_is_asked_about_first(at: Bench, small_run: Ended) -> None:
    copied_run(small_run, at.folder, "paid--run", model=MODEL)
    keys = {
        "OPENROUTER_BASE_URL": at.standin.base_url,
        "OPENROUTER_API_KEY": "sk-or-v1-stand-in",
    }
    with terminal(at.folder, keys) as person:
        person.type("orchestrator eval one--run --data fresh.jsonl --baseline paid--run")
        person.wait_for("start\\?")
        person.type("n")
        person.wait_for("Aborted!")
    assert at.calls() == 0


def test_a_place_where_nothing_can_be_written_is_said(at: Bench) -> None:
    (at.folder / "runs" / "one--run" / "evaluations").symlink_to("nowhere")
    refused = at.say(*asked())
    assert refused.code == 3
    assert "cannot write below" in refused.err
    assert at.calls() == 0


def test_rewards_and_engines_that_are_not_there_leave_nothing_behind(at: Bench) -> None:
    config = at.folder / "runs" / "one--run" / "config.json"
    fields = json.loads(config.read_text("utf-8"))
    changed = {**fields, "reward_funcs": ["nobodys:reward"], "reward_weights": []}
    config.write_text(json.dumps(changed), encoding="utf-8")
    before = sorted(at.folder.rglob("*"))

    words = ("eval", "one--run", "--data=fresh.jsonl", "--trust")
    refused = at.say(*words)
    away = at.say(*words, "--redis=redis://127.0.0.1:1/0", redis=False)

    assert refused.code == 2
    assert "cannot import module 'nobodys'" in refused.err
    assert away.code == 3
    assert sorted(at.folder.rglob("*")) == before
