"""A completion as server-sent events: what ``"stream": true`` gets."""

import json
from typing import Any

from orchestrator.standin.tokens import PIECE

PROCESSING = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"
#: So many tokens arrive together.
TOKENS_PER_CHUNK = 8


def events(body: bytes) -> tuple[bytes, ...]:
    """The events of a plain body: comments, text, the finish twice (then with usage), the end."""
    whole = json.loads(body)
    if not whole.get("choices"):
        return (PROCESSING, _event(whole), DONE)
    choice = whole["choices"][0]
    message = choice["message"]
    text = message["content"] if isinstance(message["content"], str) else ""
    pieces = PIECE.findall(text)
    parts = [
        "".join(pieces[at : at + TOKENS_PER_CHUNK])
        for at in range(0, len(pieces), TOKENS_PER_CHUNK)
    ]
    last = _chunk(whole, "", choice)
    if choice.get("error"):
        last["error"] = choice["error"]
    return (
        PROCESSING * 2,
        *(_event(_chunk(whole, part, None)) for part in parts),
        _event(last),
        _event({**last, "usage": whole.get("usage")}),
        DONE,
    )


def _chunk(whole: dict[str, Any], text: str, ended: dict[str, Any] | None) -> dict[str, Any]:
    names = ("id", "created", "model", "provider")
    kept: dict[str, Any] = {key: whole[key] for key in names if key in whole}
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": text},
        "finish_reason": ended["finish_reason"] if ended else None,
        "native_finish_reason": ended["native_finish_reason"] if ended else None,
        "logprobs": None,
    }
    fixed = {"object": "chat.completion.chunk", "system_fingerprint": None}
    return {**kept, **fixed, "choices": [choice]}


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n"
