"""Endpoint, key and models are checked before anything costs, and each failure is a sentence."""

import asyncio
import gzip
import json
import resource
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config import RunConfig
from orchestrator.embedded import free_port
from orchestrator.preflight import Models, preflight
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from shared.errors import ConceptGrpoError, EnvironmentNotReady, UsageError
from shared.messages import Price
from tests.loopback import (
    Behave,
    Request,
    drips,
    floods,
    never_answers,
    resets,
    response,
    sends,
    serving,
)
from tests.plain_endpoint import MODEL as PLAIN_MODEL
from tests.plain_endpoint import Plain, plain_endpoint
from tests.running import orchestrator
from tests.serving import on_a_thread
from tests.standin_calls import MODEL

WRONG_KEY = "sk-or-v1-wrong-but-secret-0123456789"


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running(Settings(malformed_prices=True)) as standin:
        yield standin


@pytest.fixture
def standin(shared: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A stand-in that the environment points at, with its key."""
    shared.control("settings", Settings(malformed_prices=True).model_dump(mode="json"))
    monkeypatch.setenv("OPENROUTER_BASE_URL", shared.base_url)
    monkeypatch.setenv("OPENROUTER_API_KEY", DEFAULT_KEY)
    return shared


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plain]:
    """A plain endpoint that the environment points at, without a key."""
    with plain_endpoint() as server:
        monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
        monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
        yield server


def checked(model: str = MODEL, *judges: str, **knobs: Any) -> Models:
    return preflight(RunConfig.model_validate({"model": model, "judge_models": judges, **knobs}))


def refused(kind: type[ConceptGrpoError], model: str = MODEL, **knobs: Any) -> str:
    with pytest.raises(kind) as error:
        checked(model, **knobs)
    said = str(error.value)
    assert "\n" not in said
    assert error.value.exit_code == {UsageError: 2, EnvironmentNotReady: 3}[kind]
    return said


def test_the_models_are_asked_as_they_can_be(standin: Running) -> None:
    found = checked(MODEL, "anthropic/claude-haiku-5.5", temperature=0.7, top_p=0.9)

    generator, (judge,) = found.generator, found.judges
    assert (generator.temperature, generator.top_p, generator.send_seed) == (0.7, 0.9, True)
    assert (generator.dialect, generator.reply_format) == ("openrouter", "json_schema")
    assert generator.price == Price(prompt_usd=1e-07, completion_usd=3e-07)
    assert not generator.reasoning_off
    # The judge's family takes no temperature, and its reasoning can be switched off.
    assert (judge.temperature, judge.top_p, judge.send_seed) == (None, None, False)
    assert judge.reasoning_off
    assert (generator.max_tokens, judge.max_tokens) == (400, 200)
    assert found.warnings == ()
    assert found.key is not None
    assert (found.key.remaining_usd, found.key.unchecked) == (None, "")


def test_parameters_that_a_model_does_not_take_are_left_out(standin: Running) -> None:
    found = checked("stand-in/no-temperature", "stand-in/plain", temperature=0.7, top_p=0.9)

    assert (found.generator.temperature, found.generator.top_p) == (None, None)
    assert not found.generator.send_seed
    # A judge is asked for the same score every time, where it can be.
    assert (found.judges[0].temperature, found.judges[0].send_seed) == (0.0, False)


@pytest.mark.parametrize(
    ("model", "rung"),
    [
        ("stand-in/plain", "json_schema"),
        ("stand-in/no-schema", "json_object"),
        ("stand-in/no-json", "text"),
    ],
)
def test_the_ladder_is_chosen_by_what_the_model_supports(
    standin: Running, model: str, rung: str
) -> None:
    assert checked(model, model).generator.reply_format == rung
    assert checked(MODEL, model).judges[0].reply_format == rung


def test_an_unknown_model_is_exit_2_and_names_the_nearest(standin: Running) -> None:
    said = refused(UsageError, "mistralai/mistral-small-3.2-24b-instrct")

    assert "no model 'mistralai/mistral-small-3.2-24b-instrct'" in said
    assert "did you mean mistralai/mistral-small-3.2-24b-instruct" in said


def test_an_unknown_judge_is_exit_2_too(standin: Running) -> None:
    with pytest.raises(UsageError, match="no model 'stand-in/plane'; did you mean stand-in/plain"):
        checked(MODEL, "stand-in/plane")


@pytest.mark.parametrize("key", [WRONG_KEY, None])
def test_a_wrong_or_missing_key_is_exit_3_and_not_in_the_sentence(
    standin: Running, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    if key is None:
        monkeypatch.delenv("OPENROUTER_API_KEY")
    else:
        monkeypatch.setenv("OPENROUTER_API_KEY", key)

    said = refused(EnvironmentNotReady)

    assert f"{standin.base_url} refuses the key (401)" in said
    assert "check OPENROUTER_API_KEY" in said
    assert "wrong-but-secret" not in said


def test_an_endpoint_that_is_down_is_exit_3(
    standin: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{free_port()}/api/v1"
    monkeypatch.setenv("OPENROUTER_BASE_URL", url)

    said = refused(EnvironmentNotReady)

    assert f"{url} does not answer (ConnectError)" in said
    assert DEFAULT_KEY not in said


def test_without_a_key_for_openrouter_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENROUTER_BASE_URL", raising=False)
    monkeypatch.setenv("OPENROUTER_API_KEY", "  \n")

    assert "OPENROUTER_API_KEY is not set; export it" in refused(UsageError)


def test_a_key_with_a_line_break_inside_is_refused_and_one_at_its_end_is_cut(
    standin: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-first\nsecond")
    said = refused(UsageError)
    assert "line break" in said
    assert "first" not in said

    monkeypatch.setenv("OPENROUTER_API_KEY", f"{DEFAULT_KEY}\n")
    assert checked().key is not None


def test_without_a_model_no_endpoint_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_BASE_URL", f"http://127.0.0.1:{free_port()}/v1")

    assert checked("").key is None


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("stand-in/reasoner", "stand-in/reasoner always reasons: hidden tokens count and cost"),
        ("stand-in/expiring", "stand-in/expiring goes away on 20"),
        ("stand-in/price-negative", "the price of stand-in/price-negative is unknown"),
        ("stand-in/price-nonsense", "the price of stand-in/price-nonsense is unknown"),
        ("stand-in/price-missing", "the price of stand-in/price-missing is unknown"),
    ],
)
def test_what_a_person_should_know_of_a_model_is_a_warning(
    standin: Running, model: str, words: str
) -> None:
    for warnings in (checked(model).warnings, checked(MODEL, model).warnings):
        (warning,) = warnings
        assert warning.startswith(words)
    assert not checked(model).generator.reasoning_off


@pytest.mark.parametrize("which", ["missing", "negative", "nonsense"])
def test_a_budget_is_refused_where_it_could_not_be_kept(standin: Running, which: str) -> None:
    said = refused(UsageError, f"stand-in/price-{which}", max_cost_usd=0.5)

    assert f"the price of stand-in/price-{which} is unknown" in said
    assert f'prices."stand-in/price-{which}" = [IN, OUT]' in said
    with pytest.raises(UsageError, match="could not be kept"):
        checked(MODEL, f"stand-in/price-{which}", max_cost_usd=0.5)


def test_a_price_of_the_config_makes_a_budget_possible_and_replaces_a_listed_one(
    standin: Running,
) -> None:
    missing = "stand-in/price-missing"
    found = checked(missing, MODEL, max_cost_usd=0.5, prices={missing: (2, 8), MODEL: (1, 3)})

    assert found.generator.price == Price(prompt_usd=2e-6, completion_usd=8e-6)
    assert found.judges[0].price == Price(prompt_usd=1e-6, completion_usd=3e-6)
    assert found.warnings == (f"prices sets the price of {MODEL}, and the endpoint lists another",)


def test_a_price_of_a_model_that_is_not_asked_is_told(standin: Running) -> None:
    (said,) = checked(MODEL, prices={MODEL[:-1]: (1, 3)}).warnings
    assert said == f"prices names {MODEL[:-1]!r}, which is not asked here; did you mean {MODEL!r}?"
    assert "not asked here" in checked("", prices={"gpt-x": (1, 3)}).warnings[0]


def test_the_knobs_decide_before_the_list_does(standin: Running) -> None:
    asked = checked(MODEL, MODEL, stop=("END",), send_seed=False, reply_format="json_object")

    generator, (judge,) = asked.generator, asked.judges
    assert (generator.stop, judge.stop) == (("END",), ())
    assert (generator.send_seed, judge.send_seed) == (False, False)
    assert (generator.reply_format, judge.reply_format) == ("json_object", "json_object")


def test_a_plain_endpoint_is_sent_what_the_knobs_say(plain: Plain) -> None:
    asked = checked(PLAIN_MODEL, send_seed=True, reply_format="json_schema", max_tokens=1)

    assert (asked.generator.send_seed, asked.generator.reply_format) == (True, "json_schema")
    assert asked.generator.max_tokens == 1


def test_a_model_that_a_plain_list_lacks_is_told(plain: Plain) -> None:
    said = "\n".join(checked("qwen2.gguf").warnings)

    assert "qwen2.gguf is not in the endpoint's list of models; did you mean qwen.gguf?" in said


def test_prices_as_numbers_are_prices_and_a_budget_can_be_kept(standin: Running) -> None:
    found = checked("stand-in/price-number", max_cost_usd=0.5)

    assert found.generator.price == Price(prompt_usd=1e-07, completion_usd=3e-07)
    assert found.limits.max_cost_usd == 0.5


def test_what_the_key_may_still_spend_is_known(standin: Running) -> None:
    standin.control("settings", {"key_limit": str(Decimal("0.25"))})

    found = checked()

    assert found.key is not None
    assert found.key.remaining_usd == 0.25


def test_a_plain_endpoint_needs_no_key_and_what_was_not_checked_is_said(plain: Plain) -> None:
    found = checked(PLAIN_MODEL, PLAIN_MODEL, temperature=0.7)

    generator, (judge,) = found.generator, found.judges
    assert (generator.dialect, generator.price, generator.reply_format) == ("openai", None, "text")
    assert (generator.temperature, judge.temperature) == (0.7, 0.0)
    said = "\n".join(found.warnings)
    assert "not checked: key and credit (the endpoint has no /key)" in said
    assert f"the price of {PLAIN_MODEL} is unknown" in said
    assert plain.paths == ["GET /v1/models"]
    assert plain.keys == {None}


@pytest.mark.parametrize(
    "answer", [(404, {"error": "no"}), (200, ["what?"]), (200, {"data": None})]
)
def test_a_list_of_unknown_shape_is_said_and_refuses_nothing(plain: Plain, answer: Any) -> None:
    plain.models = answer

    found = checked("any/model")

    assert found.generator.model == "any/model"
    assert "the endpoint lists no models: slugs and prices could not be checked" in found.warnings


DEEP = b"[" * 100_000
BOMB = gzip.compress(b"0" * 2**20)


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (sends(response(DEEP)), "answers GET /models with what cannot be read as JSON"),
        (sends(response(b"<html>")), "answers GET /models with what cannot be read as JSON"),
        (
            sends(response(BOMB, head="Content-Encoding: gzip\r\n")),
            "answers GET /models with what cannot be read as JSON",
        ),
        (floods, "answers GET /models with more than 4 MiB"),
        (drips, "TimeoutError); check the network"),
        (never_answers, "TimeoutError); check the network"),
        (resets, "does not answer ("),
    ],
    ids=["deep", "page", "bomb", "flood", "drip", "silent", "reset"],
)
def test_a_hostile_list_ends_in_a_sentence_within_bounds(
    monkeypatch: pytest.MonkeyPatch, behave: Behave, words: str
) -> None:
    monkeypatch.setattr("orchestrator.endpoint.TIMEOUT_S", 0.5)
    with on_a_thread(lambda: serving(behave)) as server:
        monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        assert words in refused(EnvironmentNotReady)

        # KiB: what a bounded body may take, and nothing like a gigabyte.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 300_000


@pytest.mark.parametrize("behave", [sends(response(DEEP)), floods, drips])
def test_a_hostile_key_report_ends_in_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, behave: Behave
) -> None:
    monkeypatch.setattr("orchestrator.endpoint.TIMEOUT_S", 0.5)
    priced = json.dumps({"data": [{"id": MODEL, "pricing": {}}]}).encode()

    async def lists_and_misbehaves(writer: asyncio.StreamWriter, request: Request) -> None:
        await (sends(response(priced)) if "/models" in request.line else behave)(writer, request)

    with on_a_thread(lambda: serving(lists_and_misbehaves)) as server:
        monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
        assert server.url in refused(EnvironmentNotReady)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_list_that_fails_for_now_does_not_make_the_endpoint_a_plain_one(
    plain: Plain, status: int
) -> None:
    plain.models = (status, {"error": {"code": status, "message": "try later"}})

    assert str(status) in refused(EnvironmentNotReady)


def test_that_a_budget_cannot_be_kept_at_a_plain_endpoint_is_said(plain: Plain) -> None:
    try:
        said = "\n".join(checked(PLAIN_MODEL, max_cost_usd=0.5).warnings)
    except UsageError as error:
        said = str(error)
    assert "max_cost_usd" in said


def test_the_command_says_it_in_a_line_and_leaves_nothing_behind(
    standin: Running, workplace: Path
) -> None:
    ended = orchestrator(
        *("run", f"--model={MODEL}"),
        cwd=workplace,
        OPENROUTER_BASE_URL=standin.base_url,
        OPENROUTER_API_KEY=WRONG_KEY,
    )

    assert (ended.code, ended.out) == (3, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: the model endpoint http://127.0.0.1:")
    assert WRONG_KEY not in line
    assert not (workplace / "runs").exists()
