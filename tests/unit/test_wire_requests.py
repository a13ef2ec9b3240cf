"""The bytes of a request: unique per rollout, equal for the same one, only what was asked for."""

import json
from typing import Any

import pytest

from shared.messages import ChatMessage, Sampling
from shared.wire.replies import GENERATED, JUDGEMENT, ReplySchema
from shared.wire.requests import chat_body

MESSAGES = (
    ChatMessage(role="system", content="You explain."),
    ChatMessage(role="user", content="Explain qubits – “quite” 量子"),
)
MODEL = "mistralai/mistral-small-3.2-24b-instruct"


def body(
    rollout: str = "r/s003/e017/k2",
    seed: int | None = 7,
    schema: ReplySchema | None = None,
    openrouter: bool = True,
    **sampling: Any,
) -> bytes:
    return chat_body(
        MESSAGES,
        Sampling(provider="openrouter", model=MODEL, **sampling),
        rollout=rollout,
        run="r",
        seed=seed,
        schema=schema,
        openrouter=openrouter,
    )


def sent(*args: Any, **kwargs: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(body(*args, **kwargs))
    return parsed


def test_the_least_request_is_the_model_the_messages_a_limit_and_a_trace() -> None:
    assert sent() == {
        "model": MODEL,
        "messages": [message.model_dump() for message in MESSAGES],
        "max_tokens": 400,
        "trace": {"trace_id": "r", "generation_name": "r/s003/e017/k2"},
    }


def test_parameters_are_sent_only_if_set() -> None:
    full = sent(
        seed=2**40 + 5,
        temperature=0.0,
        top_p=0.9,
        send_seed=True,
        reasoning_off=True,
        routing={"order": ["groq"], "allow_fallbacks": False},
        max_tokens=16,
    )
    assert {key: full[key] for key in full.keys() - {"model", "messages", "trace"}} == {
        "temperature": 0.0,
        "top_p": 0.9,
        "seed": 5,
        "reasoning": {"effort": "none"},
        "provider": {"order": ["groq"], "allow_fallbacks": False},
        "max_tokens": 16,
    }
    assert "seed" not in sent(seed=None, send_seed=True)


def test_the_same_rollout_gives_the_same_bytes_whatever_the_order_of_its_options() -> None:
    one = body(routing={"zdr": True, "sort": "price"}, temperature=0.7)
    other = body(temperature=0.7, routing={"sort": "price", "zdr": True})
    assert one == other
    assert "量子".encode() in one


@pytest.mark.parametrize("openrouter", [True, False])
def test_two_rollouts_with_the_same_prompt_differ(openrouter: bool) -> None:
    assert body("r/s003/e017/k2", openrouter=openrouter) != body(
        "r/s003/e017/k3", openrouter=openrouter
    )


def test_a_schema_is_asked_for_strictly_and_only_of_providers_that_know_it() -> None:
    found = sent(schema=JUDGEMENT, reply_format="json_schema", routing={"sort": "price"})
    assert found["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "judgement", "strict": True, "schema": JUDGEMENT.schema},
    }
    assert found["plugins"] == [{"id": "response-healing"}]
    assert found["provider"] == {"sort": "price", "require_parameters": True}
    chosen = {"require_parameters": False}
    assert sent(schema=JUDGEMENT, reply_format="json_schema", routing=chosen)["provider"] == chosen


def test_an_object_without_schema_needs_no_particular_provider() -> None:
    found = sent(schema=GENERATED, reply_format="json_object")
    assert found["response_format"] == {"type": "json_object"}
    assert found["plugins"] == [{"id": "response-healing"}]
    assert "provider" not in found


@pytest.mark.parametrize(
    "asked", [{"schema": None, "reply_format": "json_schema"}, {"schema": GENERATED}]
)
def test_without_schema_or_format_text_is_asked_for(asked: dict[str, Any]) -> None:
    assert sent(**asked).keys() == sent().keys()


def test_a_plain_endpoint_gets_only_what_every_server_knows() -> None:
    found = sent(
        openrouter=False,
        schema=GENERATED,
        reply_format="json_schema",
        reasoning_off=True,
        routing={"sort": "price"},
    )
    assert found.keys() == {"model", "messages", "max_tokens", "user", "response_format"}
    assert found["user"] == "r/s003/e017/k2"


@pytest.mark.parametrize("schema", [GENERATED, JUDGEMENT])
def test_sorted_keys_keep_the_order_in_which_a_model_writes(schema: ReplySchema) -> None:
    order = list(schema.schema["properties"])
    assert order == sorted(order) == schema.schema["required"]
    assert schema.schema["additionalProperties"] is False


def test_routing_that_json_cannot_say_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        body(routing={"max_price": {"prompt": float("nan")}})
