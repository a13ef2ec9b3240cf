"""Answers to prompts that asked for a JSON object, as the caller gets them: the text alone.

The model is asked byte for byte as in training, where it added an estimate of its own text. A
caller asked for a text. What holds no such object stays as it is. Pure.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

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


def text_alone(body: bytes) -> bytes:
    """A whole completion with the texts in place of the objects around them."""
    found = json.loads(body)
    for choice in found["choices"]:
        message = choice.get("message")
        if isinstance(message, dict) and isinstance(message.get("content"), str):
            message["content"] = generated_and_quality(message["content"], True).text
    return json.dumps(found).encode()


class TextEvents:
    """A stream of events, with the parts of the texts in place of those of the objects.

    A text is passed on as it grows where the object begins with it, or where none begins soon; else
    at its end.
    """

    def __init__(self) -> None:
        self._unended = b""
        self._texts: dict[int, _Text] = {}
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
        """What was held back of an event without an end."""
        return self._unended

    def _event(self, event: bytes) -> bytes:
        if not event.startswith(b"data:"):
            return event
        data = event[len(b"data:") :].strip()
        if data == b"[DONE]":
            return b"".join(self._rests()) + event
        try:
            found = json.loads(data)
            choices = found["choices"]
            for choice in choices:
                self._shorten(choice)
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            return event
        self._last = found
        return _encoded(found)

    def _shorten(self, choice: dict[str, Any]) -> None:
        index, delta = choice.get("index", 0), choice.get("delta") or {}
        text = self._texts.setdefault(index, _Text())
        new = text.add(delta["content"]) if isinstance(delta.get("content"), str) else ""
        if choice.get("finish_reason") is not None:
            new += text.end()
        if new or "content" in delta:
            choice["delta"] = {**delta, "content": new}

    def _rests(self) -> Iterator[bytes]:
        """Events for the texts that were never said to have ended."""
        for index, text in self._texts.items():
            if rest := text.end():
                choice = {"index": index, "delta": {"content": rest}, "finish_reason": None}
                yield _encoded({**self._last, "choices": [choice]})


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
