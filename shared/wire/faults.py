"""Every fault by name, and what it asks of the caller: the contract's verdicts as one table."""

from typing import NamedTuple

from shared.messages import FailureKind
from shared.wire.verdicts import Billed, Scope, Verdict

#: Rejects that say something about every request: five equal ones in a row from the start, or more
#: than half of the last forty, are a bad parameter and should stop the run.
BREAKER_FAULTS = frozenset(
    {"bad_request", "forbidden", "legacy_text", "reasoned_out", "refused", "too_large"}
    | {"unprocessable", "validation"}
)
#: An edge that blocks us: all wait, and after ``BLOCKS_BEFORE_STOP`` of them the run should stop.
BLOCK_FAULTS = frozenset({"html_403", "html_429"})
BLOCKS_BEFORE_STOP = 3
#: Seconds that all wait after a block, if it names no time.
BLOCK_WAIT_S = 60.0


class Rule(NamedTuple):
    """What a fault asks of the caller; the fields are those of ``Classified``."""

    verdict: Verdict
    #: What happened and what to do, in a sentence.
    says: str
    scope: Scope = Scope.REQUEST
    kind: FailureKind = FailureKind.UPSTREAM
    #: If the answer does not tell its cost.
    billed: Billed = Billed.NO
    throttled: bool = False
    replay: bool = True


_MODEL, _ACCOUNT = Scope.MODEL, Scope.ACCOUNT
_YES, _PERHAPS = Billed.YES, Billed.PERHAPS
_REJECTED, _MODERATED = FailureKind.REJECTED, FailureKind.MODERATED
_LIMITED, _TIMEOUT = FailureKind.RATE_LIMITED, FailureKind.TIMEOUT
_RESUME = "then resume the run"
_FLEET = " on every worker"
_PARAMETERS = "Check model, max_tokens and the other parameters if it repeats."


def _good(says: str = "") -> Rule:
    return Rule(Verdict.COMPLETION, says, billed=_PERHAPS)


def _retry(
    says: str,
    scope: Scope = Scope.REQUEST,
    kind: FailureKind = FailureKind.UPSTREAM,
    billed: Billed = Billed.NO,
    throttled: bool = False,
) -> Rule:
    return Rule(Verdict.RETRY, says, scope, kind, billed, throttled)


def _useless(says: str, billed: Billed) -> Rule:
    """A whole answer that holds no sample."""
    return Rule(Verdict.RETRY, says, billed=billed, replay=False)


def _reject(says: str, kind: FailureKind = _REJECTED) -> Rule:
    return Rule(Verdict.REJECT, says, kind=kind)


def _stop(says: str, scope: Scope = _ACCOUNT) -> Rule:
    return Rule(Verdict.STOP, f"{says}, {_RESUME}.", scope, _REJECTED)


#: By HTTP status, or by ``error.code`` under status 200.
_BY_STATUS = {
    "invalid_model": _stop("There is no such model. Choose one of GET /models", _MODEL),
    "bad_request": _reject(f"The request was refused as it is. {_PARAMETERS}"),
    "context_length": _reject("The prompt is longer than the model's context."),
    "content_policy": _reject("A content policy refused the prompt.", _MODERATED),
    "validation": _reject(f"The request is not valid. {_PARAMETERS}"),
    "unauthorized": _stop("The key was refused. Set a valid OPENROUTER_API_KEY" + _FLEET),
    "credits": _stop("The credit is used up. Add credits to the account"),
    "afford": _stop("The credit does not cover max_tokens. Add credits or lower max_tokens"),
    "weight": _stop(
        "One request is larger than all that the account may have in flight. "
        "Lower max_tokens or add credits"
    ),
    "key_limit_402": _stop("The key's spending limit is used up. Raise it, or use another key"),
    "in_flight": _retry(
        "The account has too much money in flight.", _ACCOUNT, _LIMITED, throttled=True
    ),
    "key_limit": _stop(
        "A spending limit is used up. Raise the limit of the key or workspace, or wait for its "
        "reset"
    ),
    "moderation": _reject("Moderation refused the prompt.", _MODERATED),
    "guardrail": _reject("A guardrail of the account refused the prompt.", _MODERATED),
    "forbidden": _reject("The request is forbidden. Check what the key may use if it repeats."),
    "html_403": _retry("The edge blocks our requests.", _ACCOUNT, _LIMITED),
    "html_429": _retry(
        "The edge blocks our requests: too many.", _ACCOUNT, _LIMITED, throttled=True
    ),
    "model_gone": _stop("No provider has the model any more. Choose another model", _MODEL),
    "no_endpoints": _stop(
        "No provider of the model fits the request. Relax the routing options, the data policy or "
        "the parameters, or choose another model",
        _MODEL,
    ),
    "not_found": _stop("There is nothing at this address. Check OPENROUTER_BASE_URL and the model"),
    "redirect": _stop("The server sends us elsewhere. Correct OPENROUTER_BASE_URL"),
    "timeout": _retry("The model took too long.", kind=_TIMEOUT, billed=_PERHAPS),
    "too_large": _reject("The request is too large."),
    "unprocessable": _reject(f"The request has an invalid argument. {_PARAMETERS}"),
    "refused": _reject(f"The request was refused. {_PARAMETERS}"),
    "try_again": _retry("The server could not take the request now."),
    "rate_minute": _retry(
        "The account's requests per minute are used up.", _ACCOUNT, _LIMITED, throttled=True
    ),
    "rate_daily": Rule(
        Verdict.STOP,
        f"The free requests of the day are used up. Wait, add credits or use a paid model, "
        f"{_RESUME}.",
        _ACCOUNT,
        _LIMITED,
        throttled=True,
    ),
    "rate_upstream": _retry("The model's provider is busy.", _MODEL, _LIMITED, throttled=True),
    "rate_limited": _retry("Too many requests.", _ACCOUNT, _LIMITED, throttled=True),
    "server": _retry("The server failed."),
    "bad_gateway": _retry("The model's provider failed."),
    "html_502": _retry("The edge did not reach the server.", billed=_PERHAPS),
    "unavailable": _retry("No provider has the model now.", _MODEL),
    "gateway_timeout": _retry("The provider took too long.", kind=_TIMEOUT, billed=_PERHAPS),
    "edge_timeout": _retry("The server took too long.", kind=_TIMEOUT, billed=_PERHAPS),
    "overloaded": _retry("The model's provider is overloaded.", _MODEL, throttled=True),
    "unknown_status": _retry("The server answered with an unknown status.", billed=_PERHAPS),
}

#: Under status 200.
_WITHIN_SUCCESS = {
    "ok": _good(),
    "nested_provider": _good(),
    "content_parts": _good(),
    "unknown_finish": _good(),
    "no_usage": _good(),
    "length": _good("max_tokens cut the text."),
    "content_filter": _good("A content filter ended the text."),
    "refusal": _good("The model refused."),
    "reasoned_out": Rule(
        Verdict.REJECT,
        "All tokens up to max_tokens went into reasoning. Raise max_tokens or choose a model"
        " without it.",
        kind=FailureKind.REASONED_OUT,
        billed=_YES,
        replay=False,
    ),
    "reasoning_alone": Rule(
        Verdict.RETRY,
        "The answer is reasoning alone, without a text. Choose a model without reasoning, or"
        " switch it off, if it repeats.",
        kind=FailureKind.REASONED_OUT,
        billed=_YES,
        replay=False,
    ),
    "tool_call_alone": _useless(
        "The model called a tool in place of a text, though none was offered. Choose another"
        " model, or a server template without tools, if it repeats.",
        _YES,
    ),
    "legacy_text": Rule(
        Verdict.REJECT,
        "The answer has its text where the old completions API puts it (choices[0].text), not in a"
        " chat message. Let OPENROUTER_BASE_URL name a server of the chat API.",
        billed=_YES,
        replay=False,
    ),
    "error_200": _retry("The answer holds an error without a code."),
    "choice_error": _useless("The model failed in the middle of its text.", Billed.NO),
    "finish_error": _useless("The model ended with an error.", Billed.NO),
    "choices_null": _useless("The answer's choices are null.", _PERHAPS),
    "choices_missing": _useless("The answer has no choices.", _PERHAPS),
    "choices_empty": _useless("The answer's choices are empty.", _PERHAPS),
    "empty": _useless("The answer is empty: a cold start.", Billed.NO),
    "null_content": _useless("The answer has no text.", _YES),
    "sse": _retry("The answer is an event stream, not one JSON.", billed=_PERHAPS),
    "truncated_json": _retry("The answer breaks off.", billed=_PERHAPS),
    "empty_body": _retry("The answer has no bytes.", billed=_PERHAPS),
    "html_200": _retry("The answer is a page, not JSON.", billed=_PERHAPS),
    "garbled": _retry("The answer is not what was asked for.", billed=_PERHAPS),
    "huge_body": _useless("The answer is too large to be one.", _PERHAPS),
}

#: Without an answer. Which exception it was does not tell whether the request went out.
_NO_ANSWER = {
    "no_answer": _retry("No whole answer in time.", kind=_TIMEOUT, billed=_PERHAPS),
    "connection": _retry("The connection failed.", kind=FailureKind.CONNECTION, billed=_PERHAPS),
}

RULES: dict[str, Rule] = {**_BY_STATUS, **_WITHIN_SUCCESS, **_NO_ANSWER}


def outside_runs(message: str) -> str:
    """A message for someone who has neither a run nor workers."""
    return message.replace(f", {_RESUME}", "").replace(_FLEET, "")
