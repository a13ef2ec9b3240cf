"""One small question to each model: what it does not take is learnt and told, before any call."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.config import RunConfig
from orchestrator.doctor import examine
from orchestrator.preflight import Models, preflight
from orchestrator.standin import DEFAULT_KEY, Settings, running
from shared.errors import EnvironmentNotReady
from tests.plain_endpoint import MODEL as PLAIN_MODEL
from tests.plain_endpoint import Plain, plain_endpoint
from tests.standin_calls import MODEL


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plain]:
    """A plain endpoint that the environment points at, without a key."""
    with plain_endpoint() as server:
        monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
        monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
        yield server


def refusing(*rules: tuple[str, Callable[[dict[str, Any]], bool]]) -> Any:
    """Refuses with a rule's words while the rule holds for the request."""

    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        words = next((words for words, holds in rules if holds(body)), None)
        return words and (400, {"error": {"message": words, "type": "invalid_request_error"}})

    return refuse


NO_MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
    " 'max_completion_tokens' instead.",
    lambda body: "max_tokens" in body,
)
NO_SYSTEM = (
    "Developer instruction is not enabled for this model",
    lambda body: body["messages"][0]["role"] == "system",
)
NO_SEED = ("Unsupported parameter: 'seed'", lambda body: "seed" in body)
NO_SCHEMA = (
    "response_format of type json_schema is not available",
    lambda body: body.get("response_format", {}).get("type") == "json_schema",
)


def met(**knobs: Any) -> Models:
    """What a run knows before its first call."""
    return preflight(RunConfig.model_validate({"model": PLAIN_MODEL, **knobs}), ask=True)


def test_what_a_model_does_not_take_is_learnt_by_one_question_and_told(plain: Plain) -> None:
    plain.refuses = refusing(NO_MAX_TOKENS, NO_SYSTEM, NO_SEED, NO_SCHEMA)

    knobs = {"send_seed": True, "reply_format": "json_schema", "judge_models": (PLAIN_MODEL,)}
    found = met(**knobs)

    generator, (judge,) = found.generator, found.judges
    for each in (generator, judge):
        assert (each.max_tokens_field, each.system_role) == ("max_completion_tokens", False)
    assert (generator.send_seed, judge.reply_format) == (False, "json_object")
    said = "\n".join(found.warnings)
    assert f"{PLAIN_MODEL} wants max_completion_tokens in place of max_tokens" in said
    assert f"{PLAIN_MODEL} takes no system role: its text opens the user's message" in said
    assert f"{PLAIN_MODEL} refuses seed: it is not sent" in said
    # The same for generator and judge is told once.
    assert said.count("max_completion_tokens") == 1
    assert [came.found.verdict for came in found.came] == ["completion", "completion"]
    last = plain.asked[-1]
    assert [turn["role"] for turn in last["messages"]] == ["user"]
    assert "max_tokens" not in last


def test_nothing_is_asked_where_the_list_says_what_a_model_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running(Settings()) as standin:
        monkeypatch.setenv("OPENROUTER_BASE_URL", standin.base_url)
        monkeypatch.setenv("OPENROUTER_API_KEY", DEFAULT_KEY)
        assert preflight(RunConfig(model=MODEL), ask=True).came == ()
        assert standin.control("ledger")["total_nano_usd"] == 0


def test_a_question_is_asked_only_before_calls_and_its_cost_is_told(plain: Plain) -> None:
    assert preflight(RunConfig(model=PLAIN_MODEL)).came == ()
    assert plain.asked == []
    (came,) = met(prices={PLAIN_MODEL: (1, 2)}).came
    assert len(plain.asked) == 1
    assert came.cost_usd == pytest.approx(40e-6 + 2 * 60e-6)
    assert f"model {PLAIN_MODEL}: " in came.line


def test_a_model_that_cannot_be_asked_ends_before_the_run_with_the_servers_words(
    plain: Plain,
) -> None:
    plain.refuses = lambda body: (404, {"error": {"message": "model 'qwen2' not found"}})

    with pytest.raises(EnvironmentNotReady, match=r"the model .* cannot be asked: .*not found"):
        met()


def test_a_question_that_gets_no_answer_for_now_is_told_and_stops_nothing(plain: Plain) -> None:
    plain.refuses = lambda body: (503, {"error": {"message": "Loading model"}})

    assert "gave no answer to a small question" in met().warnings[-1]


def test_the_doctor_asks_and_says_what_came_back(plain: Plain) -> None:
    plain.refuses = refusing(NO_SYSTEM)
    config = RunConfig(model=PLAIN_MODEL, judge_models=(PLAIN_MODEL,), prices={PLAIN_MODEL: (1, 2)})

    found = [each for each in examine(lambda: config, None) if each.what == "answer"]

    writes, judges = found
    assert writes.ok
    assert writes.words.startswith(f'model {PLAIN_MODEL}: "')
    assert "$0.000160; takes max_tokens" in writes.words
    assert "takes no system role: its text opens" in writes.words
    assert judges.ok
    assert f"judge {PLAIN_MODEL}: score 7 of 10 in " in judges.words


def test_the_doctor_finds_a_model_that_the_server_lacks(plain: Plain) -> None:
    plain.refuses = lambda body: (404, {"error": {"message": "model 'qwen2' not found"}})

    found = list(examine(lambda: RunConfig(model="qwen2"), None))

    (answer,) = (each for each in found if each.what == "answer")
    assert not answer.ok
    assert "not found" in answer.words
    listed = [each.words for each in found if "not in the endpoint's list" in each.words]
    assert len(listed) == 1


def test_what_the_doctor_shows_of_an_answer_is_short_and_harmless(plain: Plain) -> None:
    said = "\x1b[31mred\u202e\x07 " + "long " * 200
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": said}}
    plain.refuses = lambda body: (200, {"choices": [choice]})

    (answer,) = (
        each
        for each in examine(lambda: RunConfig(model=PLAIN_MODEL), None)
        if each.what == "answer"
    )
    assert answer.words.isprintable()
    assert len(answer.words) < 500
