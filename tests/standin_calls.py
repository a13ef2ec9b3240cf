"""Calls to the stand-in over plain sockets, so that tests see what is on the wire."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from orchestrator.standin import DEFAULT_KEY, Running

MODEL = "mistralai/mistral-small-3.2-24b-instruct"
QUESTION = (
    "Explain quantum computing\n\n"
    "Build the answer on: superposition and entanglement.\nMention: measurement."
)
KEYED = {"Authorization": f"Bearer {DEFAULT_KEY}"}
CACHED = {"X-OpenRouter-Cache": "true"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["choices"][0]["message"]
        return found

    @property
    def text(self) -> str:
        return str(self.message["content"])


def body(text: str = QUESTION, **fields: Any) -> bytes:
    """A chat request; a field that is None is left out."""
    asked = {"model": MODEL, "max_tokens": 400, "messages": [{"role": "user", "content": text}]}
    kept = {key: value for key, value in {**asked, **fields}.items() if value is not None}
    return json.dumps(kept, sort_keys=True).encode()


def call(
    standin: Running,
    method: str,
    path: str,
    sent: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10,
) -> Answer:
    """One request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", standin.port, timeout=timeout)
    try:
        connection.request(method, path, sent, dict(headers or {}))
        response = connection.getresponse()
        given = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, given, response.read())
    finally:
        connection.close()


def ask(
    standin: Running, sent: bytes | None = None, *, timeout: float = 10, **headers: str
) -> Answer:
    """POST a chat request with the key; headers as x_openrouter_cache="true"."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path, all_headers = "/api/v1/chat/completions", {**KEYED, **named}
    return call(standin, "POST", path, body() if sent is None else sent, all_headers, timeout)


def get(standin: Running, path: str) -> Answer:
    """GET below /api/v1 with the key."""
    return call(standin, "GET", f"/api/v1/{path}", None, KEYED)


def ask_all(standin: Running, bodies: list[bytes], at_a_time: int) -> list[Answer]:
    """Many requests, so many at a time; answers in the order of the bodies."""
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(lambda sent: ask(standin, sent), bodies))
