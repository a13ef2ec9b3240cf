"""What ``orchestrator serve`` costs a request: through it, and straight to the stand-in.

    python -m tests.benchmarks.serve [--requests 2000] [--rounds 10] [--json FILE]

Bare sockets ask both in turn, round by round, so that a noisy machine disturbs both alike. One
caller against a stand-in that answers at once; fifty against one that takes 500 ms, as a model does
(against one that takes no time, fifty would measure how many requests a second the server can do:
the last row). ``overhead_ms`` is the difference of the medians, ``p10`` that of the quickest
tenths, which a busy machine disturbs least; ``first`` is the time to the first byte of the body,
``cpu_ms`` the server's own. Bound: 3 ms more at the median, where the cores have time to spare.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from orchestrator.standin import DEFAULT_KEY
from tests.benchmarks._endpoint import endpoint
from tests.benchmarks._measuring import arguments, cpu_s, report
from tests.running import SMALL, orchestrator, started
from tests.standin_calls import MODEL

PLANNED, PASSED = "Explain how a qubit differs from a bit", "Say hello"


class Timed(NamedTuple):
    """One answer, in seconds from the moment of asking."""

    first: float
    whole: float


class Case(NamedTuple):
    """One row."""

    what: str
    callers: int
    latency_ms: float
    text: str = PLANNED
    stream: bool = False


CASES = (
    Case("plan", 1, 0),
    Case("passthrough", 1, 0, PASSED),
    Case("plan, stream", 1, 0, stream=True),
    Case("plan", 50, 500),
    Case("plan, stream", 50, 500, stream=True),
    Case("plan, no pause", 50, 0),
)


async def asked(url: str, case: Case, requests: int) -> list[Timed]:
    """So many requests, by the case's callers, each on a connection of its own."""
    found: list[Timed] = []
    await asyncio.gather(
        *(_caller(url, case, requests // case.callers, found) for _ in range(case.callers))
    )
    return found


async def _caller(url: str, case: Case, requests: int, found: list[Timed]) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    body = json.dumps({
        "model": MODEL, "messages": [{"role": "user", "content": case.text}], "max_tokens": 300,
        "stream": case.stream,
    }).encode()  # fmt: skip
    head = (
        f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {DEFAULT_KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    # Callers who keep in step would wait for each other.
    await asyncio.sleep(random.uniform(0, case.latency_ms / 1000))
    for _ in range(requests):
        began = time.perf_counter()
        writer.write(head + body)
        first = await _answer(reader)
        found.append(Timed(first - began, time.perf_counter() - began))
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> float:
    """Read one answer to its end; when the first byte of its body was there."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    _, counted, rest = head.partition(b"content-length:")
    if counted:
        length = int(rest.partition(b"\r\n")[0])
        begun = await reader.readexactly(1)
        first = time.perf_counter()
        await reader.readexactly(length - len(begun))
        return first
    first = 0.0
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        first = first or time.perf_counter()
        await reader.readexactly(size + 2)
        if not size:
            return first


@contextmanager
def server(folder: Path, upstream: str) -> Iterator[tuple[str, int]]:
    """The command in front of ``upstream``: its address and process id."""
    command = ("serve", "latest", "--port=0", f"--upstream={upstream}", "--json")
    with started(*command, cwd=folder, name="serve") as going:
        going.await_words("model ")
        ready = json.loads((folder / "serve.out").read_text(encoding="utf-8"))
        yield ready["url"], ready["pid"]


def measured(case: Case, folder: Path, requests: int, rounds: int) -> dict[str, Any]:
    """Straight and through the server in turn, after a first round that does not count."""
    direct: list[Timed] = []
    served: list[Timed] = []
    used_s = 0.0
    each = max(case.callers, requests // rounds)
    with (
        endpoint(folder, case.latency_ms, tls=False) as standin,
        server(folder, standin.base_url) as (url, pid),
    ):
        for number in range(rounds + 1):
            straight = asyncio.run(asked(standin.base_url, case, each))
            before = cpu_s(pid)
            through = asyncio.run(asked(url, case, each))
            if number:
                used_s += cpu_s(pid) - before
                direct += straight
                served += through
    row = {"what": case.what, "callers": case.callers, "latency_ms": case.latency_ms}
    return row | _compared(direct, served) | {"cpu_ms": 1000 * used_s / len(served)}


def _compared(direct: list[Timed], served: list[Timed]) -> dict[str, float]:
    def ms(found: list[Timed], part: str, percent: int) -> float:
        seconds = sorted(getattr(each, part) for each in found)
        return 1000 * seconds[len(seconds) * percent // 100]

    def more_ms(part: str, percent: int) -> float:
        return ms(served, part, percent) - ms(direct, part, percent)

    return {
        "direct_ms": ms(direct, "whole", 50),
        "served_ms": ms(served, "whole", 50),
        "overhead_ms": more_ms("whole", 50),
        "p10_overhead_ms": more_ms("whole", 10),
        "p95_overhead_ms": more_ms("whole", 95),
        "first_overhead_ms": more_ms("first", 50),
    }


def main() -> None:
    """Print a row per case."""
    parser = arguments(__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="per row and way")
    parser.add_argument("--rounds", type=int, default=10)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        how = orchestrator("run", *SMALL, cwd=folder)
        assert how.code == 0, how.err
        rows = [measured(case, folder, wanted.requests, wanted.rounds) for case in CASES]
    report(rows, wanted.json)


if __name__ == "__main__":
    main()
