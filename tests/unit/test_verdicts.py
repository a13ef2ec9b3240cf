"""What whole runs are told at their end: chance is no improvement, a true gain is found."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.config import RunConfig
from orchestrator.evaluation import LONGEST_ANSWER, Answers, Evaluation, answers
from orchestrator.inputs import prepare
from orchestrator.paired import Comparison, compare, decide, told
from orchestrator.report.answers import answers_line
from orchestrator.report.summary import lines, next_lines
from orchestrator.rollouts import Params
from orchestrator.run_directory import RunDirectory
from orchestrator.run_result import decision_of
from tests.simulated import NOTHING, SPACE, World, held_out, simulate

RUNS = 200
#: Completions per held-out prompt: the default of eval_samples.
SAMPLES = 4


def verdicts(world: World, prompts: int, policies: list[Params]) -> list[str]:
    told = []
    for seed in range(RUNS):
        before = held_out(world, None, prompts, SAMPLES, 2 * seed)
        after = held_out(world, policies[seed % len(policies)], prompts, SAMPLES, 2 * seed + 1)
        found = compare(before, after)
        assert found is not None
        told.append(found.verdict)
    return told


@pytest.mark.parametrize("prompts", [8, 24])
def test_200_runs_without_any_effect_are_told_improved_in_at_most_2_5_percent(prompts: int) -> None:
    world = World()
    learnt = [simulate(world, seed, steps=3).params for seed in range(40)]
    assert max(float(np.ptp(params.theta)) for params in learnt) > 0.5

    told = verdicts(world, prompts, learnt)

    two_errors = 2 * np.sqrt(0.025 * 0.975 / RUNS)
    assert told.count("IMPROVED") / RUNS <= 0.025 + two_errors
    assert told.count("WORSE") / RUNS <= 0.025 + two_errors


@pytest.mark.parametrize("prompts", [12, 24])
def test_a_true_gain_of_one_standard_deviation_is_found_in_90_percent(prompts: int) -> None:
    # The best template is worth one standard deviation of a reward more than the mean template.
    world = World(parts={"part": Params(NOTHING.theta, np.array([0.1, -0.05, -0.05]), NOTHING.eta)})
    best = Params(NOTHING.theta, np.array([1.0, 0.0, 0.0]), NOTHING.eta)
    gain = world.value_of(Params(NOTHING.theta, np.array([99.0, 0, 0]), NOTHING.eta))
    assert gain - world.value_of(NOTHING) == pytest.approx(world.noise)
    assert SPACE.T == 3

    told = verdicts(world, prompts, [best])

    assert told.count("IMPROVED") / RUNS >= 0.9


def compared(shows: str, prompts: int = 24) -> Comparison:
    """Better or worse on 22 prompts of 24 by 0.1, or neither."""
    gain, low, high, wins = {
        "better": (0.1, 0.05, 0.15, 22),
        "worse": (-0.1, -0.15, -0.05, 2),
        "no evidence": (0.0, -0.05, 0.05, 12),
    }[shows]
    return Comparison(prompts, 0.5, 0.5 + gain, gain, low, high, wins, prompts - wins)


#: Against the start, against the plain prompt -> the verdict, and whether the plain prompt made it.
DECIDED = {
    ("better", "better"): ("IMPROVED", False),
    ("better", "no evidence"): ("NO EVIDENCE", True),
    ("better", "worse"): ("WORSE", True),
    ("no evidence", "better"): ("NO EVIDENCE", False),
    ("no evidence", "no evidence"): ("NO EVIDENCE", False),
    ("no evidence", "worse"): ("WORSE", True),
    ("worse", "better"): ("WORSE", False),
    ("worse", "no evidence"): ("WORSE", False),
    ("worse", "worse"): ("WORSE", False),
    # A plain prompt was asked, and nothing can be said of it.
    ("better", None): ("NO EVIDENCE", True),
    ("worse", None): ("WORSE", False),
}


@pytest.mark.parametrize(("start", "plain"), DECIDED)
def test_the_verdict_is_the_worse_of_both_comparisons(start: str, plain: str | None) -> None:
    assert decide(compared(start), plain and compared(plain), True) == DECIDED[start, plain]  # type: ignore[arg-type]


@pytest.mark.parametrize("start", ["better", "no evidence", "worse"])
def test_without_a_plain_prompt_the_start_decides(start: str) -> None:
    found = compared(start)
    assert decide(found, None, False) == (found.verdict, False)
    assert decide(None, None, False) is None


def result(start: str, plain: str | None, verdict: str) -> dict[str, Any]:
    """What a run ends with, as far as its closing words need it."""
    return {
        "steps": 3,
        "seconds": 1.0,
        "stopped": None,
        "verdict": verdict,
        "heldout": told(compared(start), verdict),
        "heldout_vs_plain": told(plain and compared(plain), verdict),  # type: ignore[arg-type]
        "answers": {
            "initial": Answers(24, 20, "positive\x1b[31m", 3, 3)._asdict(),
            "final": Answers(24, 2, "negative", 23, 23)._asdict(),
        },
        "parts": {},
        "eval_metrics": {},
        "alarms": [],
        "learnt": [],
        "unmatched": [],
        "instrument": None,
        "cost": {"calls": {}},
    }


WRITTEN = prepare(RunConfig.model_validate({"model": "a/writer", "reward_funcs": ["length"]}))


def test_the_closing_words_say_the_worse_comparison_and_do_not_invite_to_use_the_policy() -> None:
    found = result("better", "worse", "WORSE")

    said = "\n".join((*lines(WRITTEN, found, "runs/x"), *next_lines(WRITTEN, found, "runs/x")))

    assert "WORSE than the plain prompt; against its start better on 22 of 24 prompts" in said
    assert "IMPROVED" not in said
    assert re.search(r"against no concepts .*   worse$", said, re.MULTILINE)
    assert "orchestrator generate" not in said
    assert "the plain prompt did better" in said


def test_the_closing_words_invite_to_use_a_policy_that_beats_both() -> None:
    found = result("better", "better", "IMPROVED")

    said = "\n".join((*lines(WRITTEN, found, "runs/x"), *next_lines(WRITTEN, found, "runs/x")))

    assert "IMPROVED, better on 22 of 24 prompts" in said
    assert "next     orchestrator generate runs/x" in said


def test_a_collapse_to_one_answer_stands_in_the_closing_words_without_its_control_characters() -> (
    None
):
    said = list(lines(WRITTEN, result("better", "better", "IMPROVED"), "runs/x"))

    (answered,) = [line for line in said if line.startswith("  answers")]
    assert answered.startswith("  answers  negative 23 of 24 (96%); at the start positive")
    assert "\x1b" not in answered


def test_a_result_of_an_older_version_has_the_verdict_of_its_comparisons() -> None:
    found = result("better", "worse", "WORSE")
    del found["verdict"], found["answers"]
    for key in ("heldout", "heldout_vs_plain"):
        del found[key]["shows"]
    found["heldout"]["verdict"] = "IMPROVED"

    decision = decision_of(found, WRITTEN.config)

    assert decision is not None
    assert decision.word == "WORSE"
    assert "WORSE than the plain prompt" in "\n".join(lines(WRITTEN, found, "runs/x"))


def test_the_most_frequent_answer_is_counted_over_prompts_and_completions() -> None:
    found = answers([["negative", " negative\n"], ["negative", "positive"], ["a text"], []])

    assert found == Answers(completions=5, different=3, text="negative", times=3, prompts=2)
    assert answers([[], []]) is None
    assert answers([["x" * 1000]] * 2) == Answers(2, 1, "x" * LONGEST_ANSWER, 2, 2)


@pytest.mark.parametrize(
    ("of", "told_of"),
    [
        (Answers(40, 2, "negative", 38, 38), True),
        (Answers(40, 1, "", 40, 40), True),
        # One prompt's own samples, and labels of which many are there, tell nothing.
        (Answers(40, 37, "a text", 4, 1), False),
        (Answers(40, 30, "seven", 4, 4), False),
    ],
)
def test_an_answer_is_told_of_only_where_it_says_something(of: Answers, told_of: bool) -> None:
    assert bool(answers_line({"final": of._asdict()}, {"final": ""})) == told_of


def test_evaluations_keep_their_answers_and_older_ones_are_read_without(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    found = Evaluation(
        "final", 3, 3, {"e1": 0.5}, {}, 0, (), Answers(4, 2, "negative", 3, 2)
    )  # fmt: skip
    directory.keep_evaluation(found)
    assert directory.kept_evaluation("final", 3) == found

    file = next((tmp_path / "heldout").iterdir())
    kept = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**kept, "answers": {**kept["answers"], "times": "3"}}))
    assert directory.kept_evaluation("final", 3) is None
    del kept["answers"]
    file.write_text(json.dumps(kept))
    assert directory.kept_evaluation("final", 3) == replace(found, answers=None)
