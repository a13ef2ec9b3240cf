"""Status 200 and something else inside: the first half of section 4.3."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchestrator.standin.catalog import fallback
from orchestrator.standin.completions import Completion
from orchestrator.standin.faults.errors import Circumstances, error_reply
from orchestrator.standin.faults.kinds import Body, Fault, Stage
from orchestrator.standin.tokens import count, first

THOUGHTS = "The user wants an explanation. First I should consider what it rests on. "


def _lost(name: str, says: str, shapes: Callable[[Body], Body], **more: Any) -> Fault:
    """No answer came of it: nothing is billed, nothing is kept."""
    return Fault(name, Stage.ANSWER, 200, says, shapes=shapes, **more)


def _odd(name: str, says: str, shapes: Callable[[Body], Body], **more: Any) -> Fault:
    """An answer in an unusual shape: billed, and kept."""
    return Fault(name, Stage.ANSWER, 200, says, billed=True, stored=True, shapes=shapes, **more)


def _said(name: str, says: str, changes: Callable[[Completion], Completion]) -> Fault:
    """The model itself said something unusual: billed, and kept."""
    return Fault(name, Stage.ANSWER, 200, says, billed=True, stored=True, changes=changes)


def _failed(completion: Completion) -> Completion:
    part = completion.cut(max(1, count(completion.content or "") // 2))
    return replace(part, finish="error", native="error")


def _silent(completion: Completion) -> Completion:
    return replace(
        completion,
        content="",
        reasoning=None,
        reasoning_tokens=0,
        completion_tokens=0,
        finish=None,
        native=None,
    )


def _all_reasoning(completion: Completion) -> Completion:
    tokens = completion.completion_tokens
    thoughts = first(THOUGHTS * (tokens // count(THOUGHTS) + 1), tokens)
    return replace(
        completion,
        content="",
        reasoning=thoughts,
        reasoning_tokens=tokens,
        finish="length",
        native="length",
    )


def _refused(completion: Completion) -> Completion:
    sentence = "I'm sorry, but I can't help with that."
    tokens = count(sentence)
    return replace(completion, content=None, refusal=sentence, completion_tokens=tokens)


def _filtered(completion: Completion) -> Completion:
    return replace(completion, content="", finish="content_filter", native="SAFETY")


def _halved(completion: Completion) -> Completion:
    return completion.cut(max(1, count(completion.content or "") // 2))


def _half_json(completion: Completion) -> Completion:
    return replace(_halved(completion), finish="stop", native="stop")


def _fenced(completion: Completion) -> Completion:
    content = f"Here is what you asked for:\n\n```json\n{completion.content}\n```\nLet me know!"
    tokens = completion.reasoning_tokens + count(content)
    return replace(completion, content=content, completion_tokens=tokens)


def _error_only(body: Body) -> Body:
    return _inner_error("bad_gateway")


def _error_with_nulls(body: Body) -> Body:
    return dict.fromkeys(body) | _inner_error("rate_upstream")


def _inner_error(name: str) -> Body:
    inner: Body = json.loads(error_reply(name, Circumstances()).body)
    return inner


def _choice_error(body: Body) -> Body:
    choice = {
        **body["choices"][0],
        "error": {
            "code": 502,
            "message": "Upstream error: the connection was lost",
            "metadata": {"error_type": "provider_unavailable"},
        },
    }
    return body | {"choices": [choice]}


def _message(body: Body, **fields: Any) -> Body:
    choice = body["choices"][0]
    return body | {"choices": [{**choice, "message": {**choice["message"], **fields}}]}


def _in_parts(body: Body) -> Body:
    text = body["choices"][0]["message"]["content"] or ""
    half = len(text) // 2
    parts = [{"type": "text", "text": part} for part in (text[:half], text[half:])]
    return _message(body, content=parts)


def _paused(body: Body) -> Body:
    ended = {"finish_reason": "pause_turn", "native_finish_reason": "pause_turn"}
    return body | {"choices": [{**body["choices"][0], **ended}]}


def _nested(body: Body) -> Body:
    return dict.fromkeys(("id", "choices", "model", "object")) | {"provider": body}


def _without(name: str) -> Callable[[Body], Body]:
    return lambda body: {key: value for key, value in body.items() if key != name}


def _cost(**cost: Any) -> Callable[[Body], Body]:
    """The body with another ``usage.cost``, or without; the details go as well."""

    def shaped(body: Body) -> Body:
        kept = {key: body["usage"][key] for key in body["usage"] if not key.startswith("cost")}
        return body | {"usage": kept | cost}

    return shaped


def _cost_as_text(body: Body) -> Body:
    return body | {"usage": body["usage"] | {"cost": f"{body['usage']['cost']:.9f}"}}


ANSWER_FAULTS: tuple[Fault, ...] = (
    _lost("error_200", "only an error, of status 502", _error_only),
    _lost("error_200_nulls", "an error 429, and every field of a success null", _error_with_nulls),
    _lost(
        "error_200_daily",
        "the daily limit inside a 200",
        lambda body: _inner_error("rate_daily"),
        stops=True,
        mixed=False,
    ),
    _lost("choices_null", "choices null, no error", lambda body: body | {"choices": None}),
    _lost("choices_missing", "no choices, no error", _without("choices")),
    _lost("choices_empty", "choices []", lambda body: body | {"choices": []}),
    _odd("nested_provider", "the whole completion under `provider`", _nested),
    Fault(
        "choice_error",
        Stage.ANSWER,
        200,
        "partial text, choices[0].error, finish error",
        changes=_failed,
        shapes=_choice_error,
    ),
    Fault("finish_error", Stage.ANSWER, 200, "finish error, no error object", changes=_failed),
    Fault("empty", Stage.ANSWER, 200, 'content "", finish null, 0 tokens', changes=_silent),
    Fault(
        "null_content",
        Stage.ANSWER,
        200,
        "content null, finish stop",
        billed=True,
        changes=lambda completion: replace(completion, content=None),
    ),
    _said("length", "cut, finish length", _halved),
    _said("reasoned_out", 'content "", finish length, all reasoning', _all_reasoning),
    _said("content_filter", 'content "", finish content_filter', _filtered),
    _said("refusal", "content null, refusal set", _refused),
    _odd("content_parts", "content is a list of parts", _in_parts),
    _odd("unknown_finish", "finish pause_turn", _paused),
    _said("fenced_json", "prose around a fenced block", _fenced),
    _said("bad_json", "cut in the middle, finish stop", _half_json),
    _odd("no_usage", "no usage", _without("usage")),
    _said(
        "other_model",
        "a fallback model served it",
        lambda completion: replace(completion, model=fallback(completion.model)),
    ),
    _odd("cost_missing", "usage without cost", _cost(), extra=True),
    _odd("cost_null", "usage.cost null", _cost(cost=None), extra=True),
    _odd("cost_string", "usage.cost a numeric string", _cost_as_text, extra=True),
    _odd("cost_nan", "usage.cost NaN", _cost(cost=float("nan")), extra=True),
    _odd("cost_negative", "usage.cost -1", _cost(cost=-1), extra=True),
)
