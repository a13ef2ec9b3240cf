"""Answers to planned requests, as the caller gets them: the text alone.

The model is asked byte for byte as in training, where it perhaps added an estimate of its own text
in a JSON object. A caller asked for a text, and gets what a reward would have been given: without
the reasoning that a server left in the content, and without the object. What has neither keeps its
very bytes. Pure.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from shared.wire.channels import divided, divided_so_far
from shared.wire.replies import generated_and_quality

#: Characters without a brace after which a model has not heeded the request for an object.
PLAIN_AFTER = 200
#: Bytes of one event beyond which it is passed on unread.
LARGEST_EVENT = 2**20

_END_OF_EVENT = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_OPENED = re.compile(r'\s*(?:```\w*\s*)?\{\s*"generated"\s*:\s*"')
#: The JSON string up to its end, or to an escape that is not whole yet.
_CERTAIN = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
)


def text_alone(body: bytes, self_report: bool) -> bytes:
    """A whole completion with nothing but texts as its contents.

    ``self_report``: the prompt asked for an object around the text.
    """
    found = json.loads(body)
    changed = False
    for choice in found["choices"]:
        message = choice.get("message")
        if isinstance(message, dict) and isinstance(written := message.get("content"), str):
            answer = divided(written).answer
            message["content"] = generated_and_quality(answer, self_report).text
            changed = changed or message["content"] != written
    return json.dumps(found).encode() if changed else body


class TextEvents:
    """A stream of events, with the parts of the texts in place of what the model wrote.

    Reasoning that begins with a tag is held back. The text of an object is passed on as it grows
    where the object begins with it, or where none begins soon; else at its end.
    """

    def __init__(self, planned: bool, self_report: bool, last: "Callable[[], Stage]") -> None:
        """``planned``: the request was rewritten, so that its answer may hold more than the text.
        ``last``: makes what each text goes through at its end.
        """
        self._planned, self._self_report, self._stage = planned, self_report, last
        self._unended = b""
        self._texts: dict[int, list[Stage]] = {}
        self._last: dict[str, Any] = {}

    def add(self, part: bytes) -> bytes:
        """What can be passed on, now that this has come."""
        self._unended += part
        events, at = [], 0
        for end in _END_OF_EVENT.finditer(self._unended):
            events.append(self._event(self._unended[at : end.end()]))
            at = end.end()
        self._unended = self._unended[at:]
        if len(self._unended) > LARGEST_EVENT:
            events.append(self._unended)
            self._unended = b""
        return b"".join(events)

    def end(self) -> bytes:
        """What was held back."""
        return b"".join(self._rests()) + self._unended

    def _event(self, event: bytes) -> bytes:
        if not event.startswith(b"data:"):
            return event
        data = event[len(b"data:") :].strip()
        if data == b"[DONE]":
            return b"".join(self._rests()) + event
        try:
            found = json.loads(data)
            changed = [self._shorten(choice) for choice in found["choices"]]
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return event
        self._last = found
        return _encoded(found) if any(changed) else event

    def _shorten(self, choice: dict[str, Any]) -> bool:
        """Whether the choice is another one now."""
        index, delta = choice.get("index", 0), choice.get("delta") or {}
        if index not in self._texts:
            self._texts[index] = [*self._stages(), self._stage()]
        stages = self._texts[index]
        written = delta.get("content")
        new = written if isinstance(written, str) else ""
        for stage in stages:
            new = stage.add(new)
        if choice.get("finish_reason") is not None:
            new += _rest(stages)
        if new == (written or ""):
            return False
        choice["delta"] = {**delta, "content": new}
        return True

    def _stages(self) -> "list[Stage]":
        if not self._planned:
            return []
        # The text in the object may itself begin with reasoning.
        return [_Answer(), _Text(), _Answer()] if self._self_report else [_Answer()]

    def _rests(self) -> Iterator[bytes]:
        """Events for the texts that were never said to have ended."""
        for index, stages in self._texts.items():
            if rest := _rest(stages):
                choice = {"index": index, "delta": {"content": rest}, "finish_reason": None}
                yield _encoded({**self._last, "choices": [choice]})


class Stage(Protocol):
    """One thing that is taken off a text in the making."""

    def add(self, part: str) -> str:
        """What can be passed on, now that this has come."""

    def end(self) -> str:
        """The rest, once; then nothing."""


def _rest(stages: "list[Stage]") -> str:
    rest = ""
    for stage in stages:
        rest = (stage.add(rest) if rest else "") + stage.end()
    return rest


class _Answer:
    """One answer in the making, without the reasoning before it."""

    def __init__(self) -> None:
        self._written = ""
        self._sent = ""

    def add(self, part: str) -> str:
        self._written += part
        return self._new(divided_so_far(self._written))

    def end(self) -> str:
        whole = divided(self._written).answer
        if not whole.startswith(self._sent) and not self._sent.startswith(whole):
            # Reasoning without a beginning: what is sent is not taken back.
            whole = self._sent + self._written.partition(self._sent)[2]
        self._written = whole
        return self._new(whole)

    def _new(self, answer: str) -> str:
        if not answer.startswith(self._sent):
            return ""
        new = answer[len(self._sent) :]
        self._sent = answer
        return new


class _Text:
    """One text in the making."""

    def __init__(self) -> None:
        self._written = ""
        self._sent = ""
        self._plain = False

    def add(self, part: str) -> str:
        self._written += part
        opened = _OPENED.match(self._written)
        if opened is None:
            self._plain = self._plain or _is_plain(self._written)
            return self._new(self._written) if self._plain else ""
        certain = _CERTAIN.match(self._written, opened.end())
        assert certain is not None, "the pattern matches the empty string"
        return self._new(json.loads(f'"{certain[0]}"', strict=False))

    def end(self) -> str:
        """The rest, once; then nothing."""
        if self._plain:
            return self._new(self._written)
        return self._new(generated_and_quality(self._written, True).text)

    def _new(self, text: str) -> str:
        if not text.startswith(self._sent):
            return ""
        new = text[len(self._sent) :]
        self._sent = text
        return new


def _is_plain(written: str) -> bool:
    """Whether this is the beginning of a text without an object, or a channel's markup before."""
    begun = written.lstrip()
    return len(begun) > PLAIN_AFTER and "{" not in begun and begun[0] not in "<`["


def _encoded(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()
