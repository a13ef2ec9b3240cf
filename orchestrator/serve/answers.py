"""A model's whole answer as the caller gets it: a completion as it came, else the API's error form.

An endpoint may send an error under status 200, a page, or half a JSON; a client of the OpenAI API
would take some of them for a completion.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from orchestrator.serve.errors import Reply, error_reply
from orchestrator.serve.self_reports import text_alone
from shared.wire.errors import error_fields

#: Bytes that a whole answer may have.
LARGEST_ANSWER = 64 * 2**20
# Shorter ones are placeholders, and may occur in any text.
_SHORTEST_SECRET = 8
# Bytes of a character as JSON may escape it.
_LONGEST_SPELLING = 6
# Between two hops only, or ours to set.
_OF_A_HOP = frozenset({
    "connection", "content-length", "date", "keep-alive", "server", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
# About the endpoint's own site: its cookies, its addresses, which web pages may read its answers.
_OF_THE_SITE = ("access-control-", "alt-svc", "proxy-", "set-cookie", "strict-transport-security")
_OF_THE_BODY = ("content-encoding", "content-type")


def passed_on(raw: Iterable[tuple[bytes, bytes]], secret: str | None = None) -> dict[str, str]:
    """The headers of an answer that are meant for the caller; ``secret`` stands in none of them."""
    kept = {}
    for key, value in raw:
        name, text = (without(secret, part).decode("latin-1") for part in (key, value))
        lowered = name.lower()
        meant = lowered not in _OF_A_HOP and not lowered.startswith(_OF_THE_SITE)
        if meant and text.isprintable():
            kept[name] = text
    return kept


def judged(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    secret: str | None,
    planned: bool = False,
    self_report: bool = False,
) -> Reply:
    """The reply to a caller; ``secret`` does not stand in it even if the endpoint quotes it.

    ``planned``: the caller gets the text alone, without reasoning, and with ``self_report`` without
    the object that the model was asked for; else every byte as it came.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    fields = found if isinstance(found, dict) else {}
    if 200 <= status < 300 and _has_choices(fields):
        text = text_alone(body, self_report) if planned else body
        return Reply(status, headers, without(secret, text))
    kept = {name: text for name, text in headers.items() if name.lower() not in _OF_THE_BODY}
    error = error_fields(body)
    if not fields or not error:
        said = error.get("message")
        words = _unreadable(status, body) + (f": {said}" if said else "")
        error = {"message": words, "code": "upstream_error"}
    said = status if 400 <= status < 600 else _code(error)
    reply = error_reply(said, error, kept)
    return reply._replace(body=without(secret, reply.body))


def without(secret: str | None, said: bytes) -> bytes:
    """What an endpoint said, should it quote the server's key, in whatever spelling JSON allows."""
    if not secret or len(secret) < _SHORTEST_SECRET:
        return said
    plain = said.replace(secret.encode(), b"***")
    return _spellings(secret).sub(b"***", plain) if b"\\" in plain else plain


@lru_cache(maxsize=8)
def _spellings(secret: str) -> re.Pattern[bytes]:
    return re.compile(b"".join(b"(?:%s)" % b"|".join(map(re.escape, _spelled(c))) for c in secret))


@lru_cache(maxsize=256)
def _spelled(character: str) -> tuple[bytes, ...]:
    """An ASCII character as it is, and as JSON may escape it."""
    escapes = {f"\\u{ord(character):04x}", f"\\u{ord(character):04X}"}
    if character == "/":
        escapes.add("\\/")
    return tuple(spelled.encode() for spelled in (character, *sorted(escapes)))


def _begins(secret: str, said: bytes) -> bool:
    """Whether all that was said may be the beginning of the secret, in any spelling."""
    at = 0
    for character in secret:
        left = said[at : at + _LONGEST_SPELLING]
        if not left:
            return True
        whole = next((each for each in _spelled(character) if left.startswith(each)), b"")
        if not whole:
            return any(each.startswith(left) for each in _spelled(character))
        at += len(whole)
    return False


class Redaction:
    """Takes a secret out of an answer that comes in parts, also where one part ends within it."""

    def __init__(self, secret: str | None) -> None:
        self._secret = secret or ""
        self._held = b""

    def add(self, part: bytes) -> bytes:
        """What can be handed on now; what may be the beginning of the secret is held back."""
        said = without(self._secret, self._held + part)
        self._held = b""
        if len(self._secret) < _SHORTEST_SECRET:
            return said
        if said[-1:].isspace():
            # As events end, and no key.
            return said
        longest = _LONGEST_SPELLING * len(self._secret)
        for at in range(max(0, len(said) - longest), len(said)):
            if _begins(self._secret, said[at:]):
                self._held = said[at:]
                return said[:at]
        return said

    def end(self) -> bytes:
        """What was held back, and was not the secret."""
        held, self._held = self._held, b""
        return held


class RedactedText:
    """The same for a text whose parts come in events of their own."""

    def __init__(self, secret: str | None) -> None:
        self._redaction = Redaction(secret)

    def add(self, part: str) -> str:
        """What can be handed on now."""
        # JSON may hold half of a character.
        said = self._redaction.add(part.encode("utf-8", "surrogatepass"))
        return said.decode("utf-8", "surrogatepass")

    def end(self) -> str:
        """What was held back, and was not the secret."""
        return self._redaction.end().decode("utf-8", "surrogatepass")


def _has_choices(fields: Mapping[str, Any]) -> bool:
    choices = fields.get("choices")
    return isinstance(choices, list) and bool(choices) and all(isinstance(c, dict) for c in choices)


def _code(error: Mapping[str, Any]) -> int:
    """The status of an error that came under another one."""
    code = error.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def _unreadable(status: int, body: bytes) -> str:
    what = "nothing" if not body.strip() else "what is neither a completion nor an error"
    return f"the model's endpoint answered {status} with {what}"
