"""What a run may cost before it starts: a ceiling that is one, and no price that is guessed."""

import json
from typing import Any

import pytest

from orchestrator.budget import Estimate, Spending, cost_words, estimate, known_usd, spent
from orchestrator.config import RunConfig
from orchestrator.inputs import prepare
from orchestrator.preflight import Models
from shared.messages import Limits, Price, Sampling
from shared.wire.answers import classify
from shared.wire.money import cost_usd
from shared.wire.verdicts import Classified

CHEAP = Price(prompt_usd=1e-07, completion_usd=3e-07)
DEAR = Price(prompt_usd=1e-06, completion_usd=3e-06, request_usd=0.001)
SMALL: dict[str, Any] = {"max_steps": 2, "batch_size": 2, "group_size": 4, "eval_samples": 1}


def asking(price: Price | None, max_tokens: int = 400) -> Sampling:
    return Sampling(provider="openrouter", model="a/b", price=price, max_tokens=max_tokens)


def planned(
    generator: Sampling | None, judges: tuple[Sampling, ...] = (), **knobs: Any
) -> Estimate:
    named = {"judge_models": ("a/b",) * len(judges)} if judges else {}
    config = RunConfig.model_validate({**SMALL, "model": "a/b", **named, **knobs})
    models = Models(generator or Sampling(), judges, Limits(), None, ())
    return estimate(prepare(config), models)


def test_the_template_engine_is_free() -> None:
    found = planned(None)

    assert (found.expected_usd, found.ceiling_usd, found.step_ceiling_usd) == (0, 0, 0)
    assert found.judgements == 0


@pytest.mark.parametrize("price", [CHEAP, DEAR])
@pytest.mark.parametrize("judges", [0, 2])
def test_the_ceiling_is_above_what_is_expected_and_both_above_0(price: Price, judges: int) -> None:
    found = planned(asking(price), (asking(CHEAP, 200),) * judges)

    assert found.expected_usd is not None
    assert found.ceiling_usd is not None
    assert 0 < found.expected_usd < found.ceiling_usd


def test_the_ceiling_covers_max_tokens_of_every_answer_and_the_fee_of_every_request() -> None:
    found = planned(asking(DEAR, 1000))

    assert found.ceiling_usd is not None
    assert found.ceiling_usd > found.generations * (1000 * 3e-06 + 0.001)


def told(cost: float | None, tokens: int | None) -> Classified:
    usage = {"prompt_tokens": tokens, "completion_tokens": tokens, "cost": cost}
    choice = {"finish_reason": "stop", "message": {"content": "words"}}
    return classify(200, {}, json.dumps({"choices": [choice], "usage": usage}).encode(), 0)


def test_a_cost_is_the_endpoints_word_or_its_tokens_at_the_price() -> None:
    plain = asking(DEAR).model_copy(update={"dialect": "openai"})

    assert cost_usd(told(0.5, 100), plain) == 0.5
    assert cost_usd(told(None, 100), plain) == pytest.approx(100e-6 + 300e-6 + 0.001)
    assert cost_usd(told(None, None), plain) is None
    assert cost_usd(told(None, 100), plain.model_copy(update={"price": None})) is None
    # OpenRouter keeps books, which may say something else.
    assert cost_usd(told(None, 100), asking(DEAR)) is None


def test_it_scales_with_the_steps() -> None:
    runs = [planned(asking(CHEAP), max_steps=steps, eval_interval=0) for steps in (1, 3, 5)]

    held_out = runs[0].generations - 2 * 4
    assert held_out > 0
    assert [run.generations - held_out for run in runs] == [8, 24, 40]
    ceilings = [run.ceiling_usd or 0 for run in runs]
    assert ceilings[2] - ceilings[1] == pytest.approx(ceilings[1] - ceilings[0])
    steps = [run.step_ceiling_usd for run in runs]
    assert steps == pytest.approx([(ceilings[1] - ceilings[0]) / 2] * 3)


def test_evaluations_between_the_steps_are_counted() -> None:
    often, rarely = (planned(asking(CHEAP), max_steps=6, eval_interval=n) for n in (2, 0))

    prompts = len(prepare(RunConfig()).heldout)
    assert often.generations - rarely.generations == 2 * prompts


def test_each_judge_and_each_second_judgement_counts() -> None:
    one, two, again = (
        planned(asking(CHEAP), (asking(CHEAP, 200),) * judges, rejudge_fraction=fraction)
        for judges, fraction in ((1, 0.0), (2, 0.0), (2, 0.5))
    )

    assert [run.judgements / run.generations for run in (one, two, again)] == [1, 2, 3]
    judge = (two.ceiling_usd or 0) - (one.ceiling_usd or 0)
    assert judge > 0
    assert (again.ceiling_usd or 0) - (two.ceiling_usd or 0) == pytest.approx(judge)
    assert (one.ceiling_usd or 0) > judge
    assert (again.step_ceiling_usd or 0) > (two.step_ceiling_usd or 0) > (one.step_ceiling_usd or 0)


def test_a_judge_that_only_measures_judges_held_out_completions_alone() -> None:
    judge = (asking(CHEAP),)
    rewarding, measuring = (
        planned(asking(CHEAP), judge),
        planned(asking(CHEAP), judge, eval_metrics=("judge",)),
    )

    assert measuring.generations == rewarding.generations
    assert measuring.judgements == rewarding.judgements - 2 * 2 * 4
    assert measuring.step_ceiling_usd == planned(asking(CHEAP)).step_ceiling_usd


def test_the_plain_prompt_is_evaluated_once_where_a_model_writes() -> None:
    hosted, template = (planned(asking(CHEAP)), planned(None, model=""))

    assert hosted.generations - template.generations == 24


def test_a_judge_of_the_template_engines_texts_costs_alone() -> None:
    both, alone = (planned(made, (asking(CHEAP, 200),)) for made in (asking(CHEAP), None))

    assert 0 < (alone.ceiling_usd or 0) < (both.ceiling_usd or 0)
    assert alone.judgements == both.judgements > 0


@pytest.mark.parametrize(
    ("generator", "judges"),
    [
        (asking(None), ()),
        (asking(CHEAP), (asking(None),)),
        (asking(CHEAP), (asking(CHEAP), asking(None))),
        (asking(None), (asking(CHEAP),)),
    ],
)
def test_one_unknown_price_makes_every_amount_unknown(
    generator: Sampling, judges: tuple[Sampling, ...]
) -> None:
    again = {"rejudge_fraction": 0.1} if judges else {}
    found = planned(generator, judges, **again)

    assert (found.expected_usd, found.ceiling_usd, found.step_ceiling_usd) == (None, None, None)
    assert found.generations > 0


def test_spending_names_what_is_certain_estimated_and_doubtful_apart() -> None:
    spent = Spending(
        spent={"generate": 1.0, "judge": 0.5, "eval": 0.0},
        estimated={"generate": 0.25, "judge": 0.0, "eval": 0.0},
        perhaps={"generate": 0.0, "judge": 2.0, "eval": 0.0},
        unknown={"generate": 3, "judge": 1, "eval": 0},
        calls={"generate": 9, "judge": 4, "eval": 1},
        faults={"reset": 2, "server": 1},
    )

    assert spent.total_usd == 1.75
    assert spent.metrics() == {
        "cost/generate": 1.25,
        "cost/judge": 0.5,
        "cost/eval": 0.0,
        "cost/total": 1.75,
        "cost/perhaps": 2.0,
        "cost/unknown_calls": 4,
        "calls": 14,
        "cost/unpriced_calls": 0,
        "calls/cut": 0,
        "calls/faulty": 3,
    }


@pytest.mark.parametrize(
    ("total_usd", "unknown", "estimated", "said"),
    [
        (0.0, {"generate": 0}, {"generate": 0.0}, "$0.0000"),
        (0.0, {"generate": 3}, {"generate": 0.0}, "unknown"),
        (0.25, {"generate": 3}, {"generate": 0.25}, "$0.2500"),
        (0.25, {"generate": 3, "judge": 1}, {"generate": 0.0, "judge": 0.25},
         "$0.2500 and the unknown cost of 3 calls"),
    ],
)  # fmt: skip
def test_a_cost_that_is_not_known_is_never_said_as_nothing(
    total_usd: float, unknown: dict[str, int], estimated: dict[str, float], said: str
) -> None:
    assert cost_words(total_usd, unknown, estimated) == said
    assert (known_usd(total_usd, unknown, estimated) is None) == (said == "unknown")


def test_an_answer_that_max_tokens_cut_is_no_faulty_call() -> None:
    rows = spent({"money": {}, "faults": {"length": 4, "server": 1}}).metrics()
    assert (rows["calls/cut"], rows["calls/faulty"]) == (4, 1)
