"""An endpoint that speaks plain OpenAI, as llama.cpp does: no key, no prices, no books."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.processes import PATIENCE_S

MODEL = "qwen.gguf"
MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "llamacpp"}]}


class Plain(ThreadingHTTPServer):
    """What it answers, and what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        #: Status and body of GET /models.
        self.models: tuple[int, Any] = (200, MODELS)
        #: Status and body of a refusal, for the requests that are refused.
        self.refuses: Callable[[dict[str, Any]], tuple[int, Any] | None] = lambda body: None
        #: What is answered in place of the usual text, and why it ends.
        self.says: Callable[[dict[str, Any]], tuple[str, str] | None] = lambda body: None
        self.asked: list[dict[str, Any]] = []
        #: Method and path of every request, and whether any had a key.
        self.paths: list[str] = []
        self.keys: set[str | None] = set()


class _Handler(BaseHTTPRequestHandler):
    server: Plain
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = self.server.models if self.path == "/v1/models" else (404, {"error": "not found"})
        self._send(*found)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        if refusal := self.server.refuses(body):
            self._send(*refusal)
            return
        number = len(self.server.asked)
        words = f"Answer {number} says what superposition is, by an example. " * (2 + number % 3)
        said = {"generated": words, "quality": 0.7, "reason": "Clear.", "score": 7}
        content = json.dumps({**said, "verdict": "first"})
        content, finish = self.server.says(body) or (content, "stop")
        if body.get("stream"):
            self._stream(content)
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": content}}
        usage = {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100}
        answer = {"id": "chatcmpl-1", "object": "chat.completion", "model": MODEL, "usage": usage}
        self._send(200, answer | {"choices": [choice | {"finish_reason": finish}]})

    def _stream(self, content: str) -> None:
        """Seven characters an event."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        parts = [content[at : at + 7] for at in range(0, len(content), 7)]
        for part, end in [*((part, None) for part in parts), ("", "stop")]:
            choice = {"index": 0, "delta": {"content": part}, "finish_reason": end}
            event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _send(self, status: int, found: Any) -> None:
        self.server.paths.append(f"{self.command} {self.path}")
        self.server.keys.add(self.headers["Authorization"])
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest's output is for the tests."""


@contextmanager
def plain_endpoint() -> Iterator[Plain]:
    """One that answers until the end of the block."""
    with Plain() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(PATIENCE_S)
