"""The official SDKs take the stand-in for OpenRouter: its success, and a class per status."""

import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from tests.standin_calls import MODEL

if TYPE_CHECKING:
    from openai import OpenAI
    from openrouter import OpenRouter

MISSING = [name for name in ("openai", "openrouter") if not importlib.util.find_spec(name)]
pytestmark = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("CI"), reason=f"not installed: {', '.join(MISSING)}"
)

MESSAGES = [{"role": "user", "content": "Explain qubits"}]
#: fault -> status, class of the openrouter SDK, class of the openai SDK
CLASSES = {
    "bad_request": (400, "BadRequestResponseError", "BadRequestError"),
    "unauthorized": (401, "UnauthorizedResponseError", "AuthenticationError"),
    "credits": (402, "PaymentRequiredResponseError", "APIStatusError"),
    "in_flight": (402, "PaymentRequiredResponseError", "APIStatusError"),
    "key_limit": (403, "ForbiddenResponseError", "PermissionDeniedError"),
    "model_gone": (404, "NotFoundResponseError", "NotFoundError"),
    "timeout": (408, "RequestTimeoutResponseError", "APIStatusError"),
    "too_large": (413, "PayloadTooLargeResponseError", "APIStatusError"),
    "unprocessable": (422, "UnprocessableEntityResponseError", "UnprocessableEntityError"),
    "rate_minute": (429, "TooManyRequestsResponseError", "RateLimitError"),
    "rate_daily": (429, "TooManyRequestsResponseError", "RateLimitError"),
    "rate_upstream": (429, "TooManyRequestsResponseError", "RateLimitError"),
    "server": (500, "InternalServerResponseError", "InternalServerError"),
    "bad_gateway": (502, "BadGatewayResponseError", "InternalServerError"),
    "html_502": (502, "OpenRouterDefaultError", "InternalServerError"),
    "unavailable": (503, "ServiceUnavailableResponseError", "InternalServerError"),
    "gateway_timeout": (504, "OpenRouterDefaultError", "InternalServerError"),
    "edge_timeout": (524, "EdgeNetworkTimeoutResponseError", "InternalServerError"),
    "overloaded": (529, "ProviderOverloadedResponseError", "InternalServerError"),
    "html_403": (403, "OpenRouterDefaultError", "PermissionDeniedError"),
    "no_code": (429, "ResponseValidationError", "RateLimitError"),
}
#: What both SDKs parse as an ordinary completion, though it is none: why we have a client.
SILENT = ["choice_error", "finish_error", "empty", "null_content", "length", "content_filter"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    with running(Settings(slow_s=3)) as standin:
        yield standin


@pytest.fixture
def standin(shared: Running) -> Running:
    shared.control("reset", {})
    return shared


@pytest.fixture
def openrouter(standin: Running) -> Iterator["OpenRouter"]:
    import openrouter
    from openrouter.utils import BackoffStrategy, RetryConfig

    # By default it would retry a 5xx for an hour.
    once = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), False)
    with openrouter.OpenRouter(
        api_key=DEFAULT_KEY, server_url=standin.base_url, retry_config=once
    ) as client:
        yield client


@pytest.fixture
def openai(standin: Running) -> Iterator["OpenAI"]:
    import openai

    with openai.OpenAI(
        api_key=DEFAULT_KEY, base_url=standin.base_url, max_retries=0, timeout=5
    ) as client:
        yield client


def by_openrouter(client: "OpenRouter") -> Any:
    return client.chat.send(model=MODEL, messages=MESSAGES, max_tokens=200)  # type: ignore[call-overload]


def by_openai(client: "OpenAI") -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=200)  # type: ignore[call-overload]


def test_openrouter_parses_a_success(openrouter: "OpenRouter") -> None:
    found = by_openrouter(openrouter)

    assert found.id.startswith("gen-")
    assert found.choices[0].finish_reason == "stop"
    assert found.choices[0].message.content
    assert found.usage.cost > 0
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


def test_openai_parses_a_success(openai: "OpenAI") -> None:
    found = by_openai(openai)

    assert found.choices[0].message.content
    assert found.usage.completion_tokens > 0
    assert found.model_extra["provider"] == "Mistral"


def test_both_read_a_stream(openrouter: "OpenRouter", openai: "OpenAI") -> None:
    with openrouter.chat.send(
        model=MODEL,
        messages=MESSAGES,
        max_tokens=200,
        stream=True,  # type: ignore[arg-type]
    ) as events:
        ours = list(events)
    theirs = list(
        openai.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            max_tokens=200,
            stream=True,  # type: ignore[arg-type]
        )
    )

    assert ours[-1].usage
    assert ours[-1].usage.cost
    assert theirs[-1].choices[0].finish_reason == "stop"
    for chunks in (ours, theirs):
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


# The SDK's own parts of ``GET /key`` are deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openrouter_reads_models_key_credits_and_generations(openrouter: "OpenRouter") -> None:
    generation = by_openrouter(openrouter).id

    models = openrouter.models.list()
    while getattr(models, "result", None) is not None:
        models = models.result
    assert MODEL in {model.id for model in models.data}
    assert openrouter.api_keys.get_current_key_metadata().data.usage > 0
    assert openrouter.credits.get_credits().data.total_usage > 0
    assert openrouter.generations.get_generation(id=generation).data.total_cost > 0


@pytest.mark.parametrize("fault", CLASSES)
def test_both_raise_their_class_for_each_status(
    standin: Running, openrouter: "OpenRouter", openai: "OpenAI", fault: str
) -> None:
    from openai import APIStatusError
    from openrouter.errors import OpenRouterError

    status, of_openrouter, of_openai = CLASSES[fault]
    standin.control("faults", {"script": [fault, fault]})

    with pytest.raises(OpenRouterError) as ours:
        by_openrouter(openrouter)
    with pytest.raises(APIStatusError) as theirs:
        by_openai(openai)

    assert (type(ours.value).__name__, ours.value.status_code) == (of_openrouter, status)
    assert (type(theirs.value).__name__, theirs.value.status_code) == (of_openai, status)
    assert standin.control("received")["count"] == 2


@pytest.mark.parametrize("fault", SILENT)
def test_both_take_some_failures_for_answers(
    standin: Running, openrouter: "OpenRouter", openai: "OpenAI", fault: str
) -> None:
    standin.control("faults", {"script": [fault, fault]})

    assert by_openrouter(openrouter).choices
    assert by_openai(openai).choices
