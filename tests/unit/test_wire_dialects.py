"""What a model does not take is learnt from its refusal, whatever the server's words."""

import json
from typing import Any

import pytest

from shared.messages import ChatMessage, Sampling
from shared.wire.dialects import learnt, spoken
from shared.wire.requests import chat_body

ALL = Sampling(
    provider="openrouter",
    model="m",
    dialect="openai",
    temperature=0.7,
    top_p=0.9,
    stop=("END",),
    send_seed=True,
    reply_format="json_schema",
)
SYSTEM, USER, SAID = (
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(role="user", content="Why?"),
    ChatMessage(role="assistant", content="So."),
)


def openai(message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param}}


def mistral(*loc: str | int) -> dict[str, Any]:
    """Of pydantic, as FastAPI sends it: the whole request stands beside."""
    said = {
        "type": "extra_forbidden",
        "loc": ["body", *loc],
        "msg": "Extra inputs are not permitted",
    }
    return {"detail": [{**said, "input": {"seed": 1, "temperature": 1, "stop": ["a"], "user": ""}}]}


@pytest.mark.parametrize(
    ("refusal", "changed"),
    [
        (
            openai(
                "Unsupported parameter: 'max_tokens' is not supported with this model."
                " Use 'max_completion_tokens' instead.",
                "max_tokens",
            ),
            {"max_tokens_field": "max_completion_tokens"},
        ),
        (mistral("max_tokens"), {"max_tokens_field": "max_completion_tokens"}),
        (
            openai("Unrecognized request argument supplied: max_tokens"),
            {"max_tokens_field": "max_completion_tokens"},
        ),
        (openai("Developer instruction is not enabled for models/gemma-3"), {"system_role": False}),
        (openai("System role not supported"), {"system_role": False}),
        (openai("Only user and assistant roles are supported!"), {"system_role": False}),
        (
            {"error": {"code": 500, "message": "Jinja Exception: Conversation roles must alternate"
                       " user/assistant/user/assistant/..."}},
            {"system_role": False},
        ),
        (openai("Invalid value: 'system'.", "messages[0].role"), {"system_role": False}),
        (mistral("messages", 0, "role"), {"system_role": False}),
        (openai("Unsupported parameter: 'seed'", "seed"), {"send_seed": False}),
        (mistral("seed"), {"send_seed": False}),
        ("Unknown parameter: seed", {"send_seed": False}),
        (
            openai(
                "Unsupported value: 'temperature' does not support 0.7 with this model. Only the"
                " default (1) value is supported.",
                "temperature",
            ),
            {"temperature": None},
        ),
        ({"error": "argument top_p is not supported"}, {"top_p": None}),
        (openai("Unrecognized request argument supplied: stop"), {"stop": ()}),
        (mistral("user"), {"send_user": False}),
        (openai("Unrecognized request argument supplied: user"), {"send_user": False}),
        (
            openai("'response_format.type' must be 'json_object' or 'text'"),
            {"reply_format": "json_object"},
        ),
        (mistral("response_format"), {"reply_format": "json_object"}),
    ],
)  # fmt: skip
def test_a_refusal_teaches_what_to_change(refusal: object, changed: dict[str, Any]) -> None:
    found = learnt(ALL, refusal)

    assert found is not None
    assert found.sampling == ALL.model_copy(update=changed)
    assert found.sentence.startswith("m ")


@pytest.mark.parametrize(
    "refusal",
    [
        None,
        "",
        [],
        {"error": None},
        openai("The model `m` does not exist"),
        openai("max_tokens is too large: 400"),
        openai("'max_tokens' must be at least 16", "max_tokens"),
        openai("This model's maximum context length is 100 tokens; stop and retry, dear user"),
        openai("the seed of all trouble, at any temperature"),
        {
            "error": {
                "message": {"message": {"message": {"message": {"message": {"error": "seed"}}}}}
            }
        },
    ],
)
def test_other_words_teach_nothing(refusal: object) -> None:
    assert learnt(ALL, refusal) is None


def test_what_is_not_sent_is_not_learnt_so_that_asking_ends() -> None:
    sampling, lessons = ALL, 0
    refusal = openai(
        "max_completion_tokens, system role, 'seed', 'temperature', 'top_p', 'stop', 'user',"
        " 'response_format'"
    )
    while found := learnt(sampling, refusal):
        sampling, lessons = found.sampling, lessons + 1

    assert lessons == 9
    assert (sampling.reply_format, sampling.system_role) == ("text", False)


def test_without_a_system_role_its_text_opens_the_users_message() -> None:
    def messages(sampling: Sampling, *turns: ChatMessage) -> list[dict[str, str]]:
        body = chat_body(turns, sampling, rollout="r", run="run", seed=None, schema=None)
        found: list[dict[str, str]] = json.loads(body)["messages"]
        return found

    without = ALL.model_copy(update={"system_role": False})
    assert messages(without, SYSTEM, USER, SAID, USER) == [
        {"role": "user", "content": "Be brief.\n\nWhy?"},
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "Why?"},
    ]
    assert messages(without, USER) == [{"role": "user", "content": "Why?"}]
    assert messages(without, SYSTEM) == [{"role": "user", "content": "Be brief."}]
    assert spoken([SYSTEM, USER], ALL) == [SYSTEM, USER]


def test_the_body_holds_what_the_model_takes() -> None:
    def fields(**changes: Any) -> set[str]:
        how = ALL.model_copy(update=changes)
        body = chat_body([USER], how, rollout="r", run="u", seed=1, schema=None, openrouter=False)
        return set(json.loads(body))

    usual = {"model", "messages", "temperature", "top_p", "stop", "seed"}
    assert fields() == usual | {"max_tokens", "user"}
    assert fields(send_user=False, max_tokens_field="max_completion_tokens") == usual | {
        "max_completion_tokens"
    }
