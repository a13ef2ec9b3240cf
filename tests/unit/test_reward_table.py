"""Names to functions, parts to one number, and what is said when that fails."""

import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UsageError
from shared.messages import Completion, Failure, FailureKind, Reward, RewardTerm, ScoreJob
from shared.reward_numbers import reward_number
from worker.rewards.table import BUILTIN, check, resolve, score

SEED = {"length": 30.0, "vocabulary": 30.0, "structure": 20.0, "quality": 20.0}
OWN = "tests.custom_rewards:"


def term(name: str, weight: float = 1.0, **options: Any) -> RewardTerm:
    return RewardTerm(name=name, weight=weight, options=options)


def job(*terms: RewardTerm, **extra: Any) -> ScoreJob:
    return ScoreJob(
        run="run",
        step=0,
        group="e001",
        prompt="Explain quantum computing",
        reference=None,
        terms=("qubit",),
        extra=extra,
        rewards=terms,
    )


def completion(text: str = "A qubit is a unit of quantum computing.") -> Completion:
    return Completion(slot=3, text=text, model="template", provider="template")


def rewarded(*terms: RewardTerm, **extra: Any) -> Reward:
    outcome = score(job(*terms, **extra), completion())
    assert isinstance(outcome, Reward), outcome
    return outcome


def failed(*terms: RewardTerm, **extra: Any) -> Failure:
    outcome = score(job(*terms, **extra), completion())
    assert isinstance(outcome, Failure), outcome
    return outcome


# ---------------------------------------------------------------------------------- score


def test_the_value_is_the_weighted_mean_of_the_parts() -> None:
    reward = rewarded(*(term(name, weight) for name, weight in SEED.items()))
    assert reward.slot == 3
    assert reward.parts.keys() == SEED.keys()
    expected = sum(SEED[name] / 100 * part for name, part in reward.parts.items())
    assert reward.value == pytest.approx(expected)


def test_the_feedback_says_the_parts_in_words_and_in_order() -> None:
    reward = rewarded(term("length"), term("quality"), term(OWN + "my_reward"))
    shown = [f"{part:.2f}" for part in reward.parts.values()]
    assert reward.feedback == f"Length: {shown[0]}, Quality: {shown[1]}, My reward: 0.25"


@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4).filter(any), st.text(max_size=60))
def test_a_weighted_mean_stays_in_range_and_between_its_parts(
    weights: list[float], text: str
) -> None:
    terms = [term(name, weight) for name, weight in zip(SEED, weights, strict=True)]
    outcome = score(job(*terms), completion(text))
    assert isinstance(outcome, Reward)
    counted = [outcome.parts[one.name] for one in terms if one.weight > 0]
    assert min(counted) - 1e-9 <= outcome.value <= min(1, max(counted) + 1e-9)


def test_a_term_of_weight_0_is_shown_and_does_not_count() -> None:
    reward = rewarded(term(OWN + "my_reward"), term("length", 0))
    assert reward.value == 0.25
    assert "Length: " in reward.feedback


def test_the_judges_score_is_a_part_like_any_other() -> None:
    outcome = score(job(term("judge"), term("length", 0)), completion(), judged=0.7)
    assert isinstance(outcome, Reward)
    assert outcome.value == 0.7


def test_without_a_judges_score_the_reward_is_missing_and_not_0() -> None:
    assert "judge" in failed(term("judge"), term("length")).message


def test_options_reach_the_function() -> None:
    assert rewarded(term("length", target_words=8, tolerance=0)).value == 1
    assert rewarded(term(OWN + "short_answer", limit=8)).value == 1
    assert rewarded(term(OWN + "short_answer", limit=7)).value == 0


def test_data_columns_reach_custom_functions_only() -> None:
    assert rewarded(term(OWN + "graded"), difficulty=0.5).value == 0.5
    assert rewarded(term(OWN + "windowed"), window=7).value == 1
    assert rewarded(term("vocabulary"), window=1) == rewarded(term("vocabulary"))


@pytest.mark.parametrize(
    ("reference", "reward"), [("qubit", 1.0), (("bit", "trit"), 1.0), (("trit", "byte"), 0.0)]
)
def test_several_references_reach_a_function_as_a_list(reference: Any, reward: float) -> None:
    asked = job(term("tests.custom_rewards:any_of")).model_copy(update={"reference": reference})
    found = score(asked, completion())
    assert isinstance(found, Reward), found
    assert found.value == reward


def test_an_option_wins_over_a_column_and_a_field_over_both() -> None:
    assert rewarded(term(OWN + "graded", difficulty=1), difficulty=0).value == 1
    assert rewarded(term(OWN + "finished"), finish_reason="never").value == 1


def test_keyword_arguments_receive_everything() -> None:
    assert rewarded(term(OWN + "everything", strictness=1), level=2).value == 1


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (True, 1.0),
        (False, 0.0),
        (np.bool_(True), 1.0),
        (np.float32(1.0000001), 1.0),
        (1.0000001, 1.0),
        (-1e-12, 0.0),
        (1.7, 1.7),
        (-3, -3.0),
        (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25),
        (np.array(0.25), 0.25),
        (np.int64(2), 2.0),
    ],
)
def test_any_finite_number_is_a_reward(returned: object, value: float) -> None:
    assert reward_number(returned) == value


@pytest.mark.parametrize(
    "returned", [float("nan"), float("-inf"), np.nan, None, "1", [1.0], np.array([1.0]), 1j]
)
def test_what_is_no_finite_number_is_no_reward(returned: object) -> None:
    with pytest.raises((TypeError, ValueError), match="it returned"):
        reward_number(returned)


def test_a_reward_beyond_0_and_1_keeps_its_value_in_the_mean() -> None:
    reward = rewarded(term(OWN + "too_much", 3), term(OWN + "my_reward", 1))
    assert reward.value == pytest.approx((3 * 1.5 + 0.25) / 4)


def test_any_real_number_is_a_reward() -> None:
    assert rewarded(term(OWN + "third")).value == pytest.approx(1 / 3)
    assert rewarded(term(OWN + "numpy_half")).value == 0.5
    assert rewarded(term(OWN + "configured")).value == 0.75
    assert rewarded(term(OWN + "lenient")).value == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "ZeroDivisionError: nothing to divide"),
        ("leaves", "SystemExit: enough"),
        ("not_a_number", "nan, which is not a finite number"),
        ("endless", "inf, which is not a finite number"),
        ("nothing", "None, which is not a real number"),
        ("word", "'0.5', which is not a real number"),
        ("graded", "difficulty"),
        ("misspelt", "has no 'misspelt'"),
    ],
)
def test_a_bad_function_is_a_missing_reward_that_names_it(name: str, said: str) -> None:
    failure = failed(term("length"), term(OWN + name))
    assert failure.kind is FailureKind.REWARD_ERROR
    assert failure.slot == 3
    assert f"{OWN}{name}" in failure.message
    assert said in failure.message


def test_a_bad_function_of_weight_0_is_a_missing_reward_too() -> None:
    assert failed(term("length"), term(OWN + "raises", 0)).kind is FailureKind.REWARD_ERROR


def test_a_failure_message_is_short_one_line_and_fit_for_json() -> None:
    assert len(failed(term(OWN + "raises_at_length")).message) == 300
    message = failed(term(OWN + "raises_surrogates")).message
    assert "broken ? text on two lines" in message


def test_scoring_without_any_weight_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="weight above 0"):
        score(job(term("length", 0)), completion())


# -------------------------------------------------------------------------------- resolve


def test_every_builtin_resolves() -> None:
    assert [resolve(name).call for name in SEED] == [BUILTIN[name] for name in SEED]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lenght", r"'lenght' \(did you mean 'length'\?\)"),
        ("", "unknown reward ''.*module:function"),
        ("no_such_module:f", "'no_such_module' .*ModuleNotFoundError"),
        (":f", "cannot import module ''"),
        (".x:f", "cannot import module '.x'"),
        (OWN + "my_rewards", r"no 'my_rewards' \(did you mean 'my_reward'\?\)"),
        (OWN, "has no ''"),
        (OWN + "a_number", "not callable: it is 3"),
        (OWN + "asynchronous", "is async"),
        (OWN + "asynchronous_object", "is async"),
        (OWN + "positional", "positional-only"),
    ],
)
def test_a_reward_that_cannot_be_used_says_why(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        resolve(name)


def test_a_module_that_fails_to_import_says_how_and_may_be_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = tmp_path / "rewards_of_mine.py"
    module.write_text("import sys\nsys.exit('not today')\n")
    with pytest.raises(UsageError, match="SystemExit: not today"):
        resolve("rewards_of_mine:half")
    module.write_text("def half() -> float:\n    return 0.5\n")
    assert resolve("rewards_of_mine:half").score({}) == 0.5


# ---------------------------------------------------------------------------------- check


def test_good_terms_have_no_problems() -> None:
    terms = [term(name, weight) for name, weight in SEED.items()]
    terms += [term(OWN + "graded"), term(OWN + "everything", anything=1)]
    terms += [term(OWN + "short_answer", 0, limit=3), term(OWN + "too_much"), term(OWN + "truth")]
    assert check(terms, frozenset({"difficulty"})) == ()


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (term("lenght"), "did you mean 'length'?"),
        (term("length", 0), "no reward has a weight above 0"),
        (term("length", target_word=9), "no option 'target_word' (did you mean 'target_words'?)"),
        (term("structure", depth=9), "its options are none"),
        (term("length", target_words=-1), "target_words must be a positive number, not -1"),
        (term("length", target_words="60"), "TypeError"),
        (term("length", target_words=10**400), "OverflowError"),
        (term("quality", terms=("a",)), "'terms' is filled for every completion"),
        (term(OWN + "graded"), "asks for 'difficulty'"),
        (term(OWN + "short_answer", limits=3), "did you mean 'limit'?"),
        (term(OWN + "asynchronous"), "is async"),
    ],
)
def test_check_says_what_is_wrong_with_a_term(one: RewardTerm, said: str) -> None:
    (problem,) = check([one], frozenset({"dificulty", "level"}))
    assert said in problem


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "ZeroDivisionError: nothing to divide"),
        ("leaves", "SystemExit: enough"),
        ("not_a_number", "nan, which is not a finite number"),
        ("nothing", "None, which is not a real number"),
        ("word", "'0.5', which is not a real number"),
    ],
)
def test_a_function_that_gives_no_number_for_anything_is_found_by_trying_it(
    name: str, said: str
) -> None:
    (problem,) = check([term(OWN + name)], frozenset())
    assert f"reward '{OWN}{name}' gives no number for any of 4 made-up completions" in problem
    assert said in problem
    assert "let it return a finite number" in problem


def test_a_function_that_reads_one_kind_of_text_is_good() -> None:
    assert check([term(OWN + "json_score"), term(OWN + "a_count")], frozenset()) == ()


def test_a_function_of_a_column_is_tried_with_the_sample_alone() -> None:
    graded = [term(OWN + "graded")]
    assert check(graded, frozenset({"difficulty"})) == ()
    assert check(graded, frozenset({"difficulty"}), {"difficulty": 2}) == ()
    (problem,) = check(graded, frozenset({"difficulty"}), {"difficulty": "hard"})
    assert "'hard', which is not a real number" in problem


def test_the_reference_is_among_the_completions_that_are_tried() -> None:
    strict, reference = [term(OWN + "same_as_reference")], {"reference": "The answer."}
    assert check(strict, frozenset(), reference) == ()
    assert len(check(strict, frozenset(), {"reference": None})) == 1


def test_a_quality_that_no_prompt_asks_for_may_be_read_and_not_required() -> None:
    needs = [term(OWN + "sure")]
    (problem,) = check(needs, frozenset(), None, False)
    assert "set self_report = true, or give the parameter a default" in problem
    assert check(needs, frozenset()) == ()
    assert check([term(OWN + "perhaps_sure"), term("quality")], frozenset(), None, False) == ()


def test_check_hints_at_a_misspelt_column() -> None:
    (problem,) = check([term(OWN + "graded")], frozenset({"dificulty"}))
    assert "did you mean 'dificulty'?" in problem


def test_check_reports_all_problems_at_once() -> None:
    problems = check(
        [term("length"), term("length"), term("nothing"), term(OWN + "raise")], frozenset()
    )
    assert len(problems) == 3
    assert "listed 2 times" in problems[0]


def test_check_says_that_there_is_no_reward() -> None:
    assert len(check([], frozenset())) == 1
