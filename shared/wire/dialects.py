"""What a model turns out not to take, learnt from its refusal: the rest is asked as before.

Servers of the OpenAI API differ: one wants ``max_completion_tokens``, one knows no system role, one
refuses a seed. They say so in words, of which these are the known ones.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from shared.messages import ChatMessage, Sampling

#: Characters of a refusal that are read.
_READ = 4000
_DEEPEST = 6
# Where servers put what they say; what else they quote may be the whole request.
_WORDS = ("error", "message", "detail", "msg", "raw", "metadata", "body")
_NAMES = ("param", "loc")
_SYSTEM = re.compile(
    r"\bsystem\W{0,3}\s*(role|message|prompt|instruction)|\brole\W{0,8}system\b"
    r"|developer (instruction|message|role)|roles? must alternate|only user and assistant"
    r"|'role'|messages\[\d+\]\.role|\brole\b.*'system'|'system'.*\brole"
)


class Learnt(NamedTuple):
    """How the model is to be asked, and the sentence that says what changed."""

    sampling: Sampling
    sentence: str


def spoken(messages: Sequence[ChatMessage], sampling: Sampling) -> Sequence[ChatMessage]:
    """The messages as the model takes them.

    Without a system role its text opens the first user message, and a line stays empty between.
    """
    if sampling.system_role:
        return messages
    instructions = [turn.content for turn in messages if turn.role == "system"]
    others = [turn for turn in messages if turn.role != "system"]
    if not instructions or not others:
        return [turn.model_copy(update={"role": "user"}) for turn in messages]
    first = "\n\n".join([*instructions, others[0].content])
    return [others[0].model_copy(update={"content": first}), *others[1:]]


def learnt(sampling: Sampling, refusal: object) -> Learnt | None:
    """What a refusal teaches, by its JSON value or its text; None if nothing that can be changed.

    Each thing is learnt once: asking again after each lesson comes to an end.
    """
    said = "\n".join(_said(refusal, _DEEPEST))[:_READ].lower()
    named = "max_completion_tokens" in said or _unknown(said, "max_tokens")
    if sampling.max_tokens_field == "max_tokens" and named:
        return _changed(
            sampling,
            "wants max_completion_tokens in place of max_tokens",
            max_tokens_field="max_completion_tokens",
        )
    if sampling.system_role and _SYSTEM.search(said):
        return _changed(
            sampling, "takes no system role: its text opens the user's message", system_role=False
        )
    for parameter, without in _left_out(sampling):
        if _names(said, parameter):
            return _changed(sampling, f"refuses {parameter}: it is not sent", **without)
    return _plainer(sampling, said)


def _left_out(sampling: Sampling) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is sent and can be done without, with the change that leaves it out."""
    if sampling.send_seed:
        yield "seed", {"send_seed": False}
    if sampling.temperature is not None:
        yield "temperature", {"temperature": None}
    if sampling.top_p is not None:
        yield "top_p", {"top_p": None}
    if sampling.stop:
        yield "stop", {"stop": ()}
    if sampling.send_user and sampling.dialect == "openai":
        yield "user", {"send_user": False}


def _plainer(sampling: Sampling, said: str) -> Learnt | None:
    """The next way to ask for an object, where this one is refused."""
    words = ("response_format", "json_schema", "json_object", "structured output", "guided")
    if sampling.reply_format == "text" or not any(word in said for word in words):
        return None
    plainer = "json_object" if sampling.reply_format == "json_schema" else "text"
    return _changed(
        sampling,
        f"refuses {sampling.reply_format}: answers are asked for as {plainer}",
        reply_format=plainer,
    )


def _changed(sampling: Sampling, what: str, **changes: Any) -> Learnt:
    return Learnt(sampling.model_copy(update=changes), f"{sampling.model} {what}")


def _unknown(said: str, parameter: str) -> bool:
    """Whether a refusal is of the parameter itself, not of its value."""
    unknown = r"\b(not supported|unsupported|unknown|unrecogni[sz]ed|extra (inputs|fields))\b"
    return _names(said, parameter) and bool(re.search(unknown, said))


def _names(said: str, parameter: str) -> bool:
    """Whether a refusal is about a parameter: quoted, or named beside what is said of it."""
    refused = r"(not supported|unsupported|not allowed|not permitted|unknown|unrecogni[sz]ed|extra)"
    return bool(
        re.search(rf"['\"`]{parameter}['\"`]", said)
        or re.search(rf"{refused}[\w ]*:\s*{parameter}\b", said)
        or re.search(rf"\b(parameter|argument|field)s?:?\s+{parameter}\b", said)
        or re.search(rf"(^|\s){parameter} (is|are) {refused}", said)
    )


def _said(value: object, depth: int) -> Iterator[str]:
    """A server's words, and in quotes the names of what they are about."""
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, list):
        for each in value:
            yield from _said(each, depth - 1)
    elif depth and isinstance(value, dict):
        for key in _WORDS:
            yield from _said(value.get(key), depth - 1)
        for key in _NAMES:
            named = value.get(key)
            for each in named if isinstance(named, list) else [named]:
                if isinstance(each, str):
                    yield f"'{each}'"
