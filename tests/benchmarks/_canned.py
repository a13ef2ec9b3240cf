"""An endpoint that costs next to nothing: it reads no question, and has its answers ready.

    python -m tests.benchmarks._canned --latency-ms 500 [--certificate FOLDER]

The stand-in reads, checks and bills every request, as a test must; on the two cores that it shares
with its clients that costs more than a good client does. This one answers POST with one of a few
whole completions after the latency, and GET with the stand-in's models and key.
"""

import argparse
import asyncio
import itertools
import json
from pathlib import Path
from random import Random
from typing import cast

import uvloop

from orchestrator.standin import account
from orchestrator.standin.catalog import listing
from orchestrator.standin.desk import Desk
from orchestrator.standin.server import BACKLOG, HOST
from orchestrator.standin.settings import Settings
from orchestrator.standin.writing import explanation
from tests.benchmarks._endpoint import serve_forever, tls_context
from tests.standin_calls import MODEL, QUESTION

ANSWERS = 64
END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length:"


def completion(number: int) -> bytes:
    """A whole answer, as OpenRouter would give it."""
    source = Random(number)
    written = " ".join(explanation(QUESTION, source) for _ in range(3))
    message = {
        "role": "assistant",
        "content": json.dumps({"generated": written, "quality": round(source.random(), 2)}),
        "refusal": None,
    }
    choice = {"index": 0, "logprobs": None, "message": message, "finish_reason": "stop"}
    return json.dumps({
        "id": f"gen-{number}", "object": "chat.completion", "created": 1, "model": MODEL,
        "system_fingerprint": None, "provider": "Canned",
        "choices": [{**choice, "native_finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 200, "completion_tokens": 300, "total_tokens": 500, "cost": 0.00005
        },
    }).encode()  # fmt: skip


def response(body: bytes) -> bytes:
    """The bytes on the wire."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + END_OF_HEAD + body


class Replies:
    """What is said, as bytes on the wire."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.models = response(listing())
        self.key = response(json.dumps(account.key(Desk(Settings()))).encode())
        self.answers = itertools.cycle([response(completion(n)) for n in range(ANSWERS)])


class Canned(asyncio.Protocol):
    """One connection: one request after the other."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(END_OF_HEAD)) >= 0:
            head = self._read[:end].lower()
            at = head.find(LENGTH)
            length = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            whole = end + len(END_OF_HEAD) + length
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"post"):
            loop = asyncio.get_running_loop()
            answer = next(self._replies.answers)
            loop.call_later(self._replies.latency_s, self._transport.write, answer)
        else:
            models = head.split(b" ", 2)[1].endswith(b"/models")
            self._transport.write(self._replies.models if models else self._replies.key)


async def serve(latency_s: float, certificate: Path | None) -> None:
    """Listen, say where, and serve until killed."""
    replies = Replies(latency_s)
    listening = await asyncio.get_running_loop().create_server(
        lambda: Canned(replies),
        HOST, 0, backlog=BACKLOG, ssl=tls_context(certificate) if certificate else None,
    )  # fmt: skip
    await serve_forever(listening)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=500)
    parser.add_argument("--certificate", type=Path)
    wanted = parser.parse_args()
    uvloop.run(serve(wanted.latency_ms / 1000, wanted.certificate))


if __name__ == "__main__":
    main()
