"""The one place that decides what an answer is: completion, retry, reject or stop.

Everything may arrive: an error under status 200, half a JSON, a page, a stream. ``classify`` takes
any bytes and any status, and never raises.
"""

import re
from collections.abc import Mapping
from typing import Any

from shared.wire.channels import divided
from shared.wire.errors import classify_error
from shared.wire.faults import RULES
from shared.wire.untrusted import amount, count, mapping, name, parsed, text
from shared.wire.verdicts import Answer, Billed, Classified, Verdict
from shared.wire.waits import lower_keys

_FINISHES = {None, "stop", "length", "content_filter", "tool_calls"}
_SNAPSHOT = re.compile(r"-\d[\d-]{3,}$")


def classify(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> Classified:
    """The verdict on a whole response. ``now_s`` is in seconds since 1970. Never raises."""
    lowered = lower_keys(headers)
    payload = parsed(body)
    if not 200 <= status < 300:
        return classify_error(status, lowered, payload, now_s)
    if not isinstance(payload, dict):
        return fault_alone(_unreadable(body, lowered))
    completion = _unwrapped(payload)
    if payload.get("error") or completion.get("error"):
        holder = payload if payload.get("error") else completion
        return _priced(classify_error(status, lowered, holder, now_s), _answer(payload, lowered))
    return _completed(completion, lowered, completion is not payload, now_s)


def transport_failure(error: BaseException) -> Classified:
    """The verdict on a call without a whole answer: retry, perhaps billed.

    The class of the exception does not tell whether the request went out, and its text may hold
    the key, so only the class is named.
    """
    late = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
    failed = fault_alone("no_answer" if late else "connection")
    return failed._replace(message=f"{failed.message} ({type(error).__name__})")


def fault_alone(fault: str) -> Classified:
    """What the table says of a fault, without an answer or a time to wait."""
    rule = RULES[fault]
    return Classified(
        verdict=rule.verdict,
        fault=fault,
        scope=rule.scope,
        wait_s=None,
        message=rule.says,
        kind=rule.kind,
        billed=rule.billed,
        throttled=rule.throttled,
        replay=rule.replay,
        answer=None,
    )


def same_model(asked: str, served: str) -> bool:
    """Whether ``served`` is the model ``asked`` for: itself, a dated snapshot, or not said."""
    if not served or served == asked:
        return True
    # What follows a colon (":free", ":nitro") says how to route, not which model.
    wanted, given = (slug.lower().lstrip("~").partition(":")[0] for slug in (asked, served))
    return given == wanted or (
        given.startswith(wanted) and bool(_SNAPSHOT.fullmatch(given[len(wanted) :]))
    )


def _unreadable(body: bytes, headers: Mapping[str, str]) -> str:
    """Which fault a body is that holds no JSON object."""
    start = body.lstrip()[:16]
    kind = str(headers.get("content-type", "")).lower()
    if not start:
        return "empty_body"
    if "event-stream" in kind or start.startswith((b"data:", b"event:", b": ")):
        return "sse"
    if start.startswith(b"<"):
        return "html_200"
    return "truncated_json" if start.startswith(b"{") else "garbled"


def _unwrapped(payload: dict[str, Any]) -> dict[str, Any]:
    """The completion: the payload, or what it holds under ``provider`` in place of a name."""
    inner = payload.get("provider")
    if not payload.get("choices") and isinstance(inner, dict) and "choices" in inner:
        return {**payload, "provider": None, **inner}
    return payload


def _completed(
    completion: Mapping[str, Any], headers: Mapping[str, str], nested: bool, now_s: float
) -> Classified:
    choices = completion.get("choices")
    answer = _answer(completion, headers)
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return _priced(fault_alone(_without_choice(completion)), answer)
    choice = choices[0]
    if choice.get("error"):
        return _priced(_failed_midway(choice, now_s), answer)
    fault = _fault_of_text(answer)
    if fault == "ok":
        fault = _oddity(answer, nested, mapping(choice.get("message")).get("content"))
    elif fault == "null_content":
        fault = _cause_of_silence(choice, answer)
    return _priced(fault_alone(fault), answer)


def _without_choice(completion: Mapping[str, Any]) -> str:
    choices = completion.get("choices")
    if choices is None:
        return "choices_null" if "choices" in completion else "choices_missing"
    return "garbled" if choices else "choices_empty"


def _failed_midway(choice: Mapping[str, Any], now_s: float) -> Classified:
    """A choice with an error: its text is no sample, whatever else its finish says."""
    failed = fault_alone("choice_error")
    inner = classify_error(200, {}, choice, now_s)
    message = f"{failed.message} {inner.message}"
    if inner.verdict is not Verdict.RETRY:
        return failed._replace(message=message)
    # Who is busy and for how long is the error's to say; that it is over is the choice's.
    return inner._replace(fault=failed.fault, message=message, replay=False, billed=failed.billed)


def _fault_of_text(answer: Answer) -> str:
    """The model's outcome, or why its answer is none."""
    finish, written = answer.finish_reason, bool(answer.text.strip())
    if finish == "error":
        return "finish_error"
    if answer.refusal:
        return "refusal"
    if finish == "content_filter":
        return "content_filter"
    if finish == "length":
        return "length" if written else "reasoned_out"
    if written:
        return "ok"
    unstarted = finish is None and not answer.completion_tokens
    return "empty" if unstarted else "null_content"


def _cause_of_silence(choice: Mapping[str, Any], answer: Answer) -> str:
    """Why a model that ended by itself has no text."""
    message = mapping(choice.get("message"))
    if message.get("tool_calls") or message.get("function_call"):
        return "tool_call_alone"
    if text(choice.get("text")).strip():
        return "legacy_text"
    return "reasoning_alone" if answer.reasoned else "null_content"


def _oddity(answer: Answer, nested: bool, content: object) -> str:
    """By which name an ordinary sample is counted."""
    if nested:
        return "nested_provider"
    if not isinstance(content, str):
        return "content_parts"
    if answer.finish_reason not in _FINISHES:
        return "unknown_finish"
    return "no_usage" if answer.completion_tokens is None else "ok"


def _written(content: object) -> str:
    """The text of a message: a string, or its text parts; reasoning in parts is not among them."""
    if isinstance(content, str):
        return text(content)
    pieces = []
    for part in content if isinstance(content, list) else [content]:
        fields = mapping(part)
        if fields.get("type", "text") in ("text", "output_text"):
            pieces.append(text(fields.get("text")))
        else:
            pieces.append(text(part))
    return "".join(pieces)


def _reasoning(message: Mapping[str, Any]) -> str:
    """What servers put beside the content: the reasoning, under one of its names."""
    named = (message.get(key) for key in ("reasoning", "reasoning_content", "thinking"))
    return next((found for value in named if (found := text(value)).strip()), "")


def _answer(completion: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
    """What it says, whatever that is worth."""
    usage = mapping(completion.get("usage"))
    choices = completion.get("choices")
    choice = mapping(choices[0] if isinstance(choices, list) and choices else None)
    message = mapping(choice.get("message"))
    finish_reason = name(choice.get("finish_reason")) or None
    hit = str(headers.get("x-openrouter-cache-status", "")).strip().upper() == "HIT"
    cost = amount(usage.get("cost"))
    cost = None if cost is not None and cost > 1e6 else cost
    written, beside = _written(message.get("content")), _reasoning(message)
    channels = divided(written)
    return Answer(
        text=channels.answer,
        reasoned=channels.reasoned or bool(beside),
        characters=len(written) + len(beside),
        refusal=bool(text(message.get("refusal")).strip()),
        model=name(completion.get("model")),
        provider=name(completion.get("provider")),
        finish_reason=finish_reason,
        native_finish_reason=name(choice.get("native_finish_reason")) or None,
        prompt_tokens=count(usage.get("prompt_tokens")),
        completion_tokens=count(usage.get("completion_tokens")),
        cost_usd=0.0 if hit and cost is None else cost,
        generation_id=name(completion.get("id")) or name(headers.get("x-generation-id")),
        cache_hit=hit,
        source_id=name(headers.get("x-openrouter-cache-source-id")),
        truncated=finish_reason == "length",
    )


def _priced(classified: Classified, answer: Answer) -> Classified:
    """The verdict with the answer; a cost that is known settles whether it was billed."""
    billed = classified.billed
    if answer.cost_usd is not None:
        billed = Billed.YES if answer.cost_usd > 0 else Billed.NO
    if classified.verdict is not Verdict.COMPLETION:
        answer = answer._replace(text="", refusal=False, truncated=False)
    return classified._replace(billed=billed, answer=answer)
