"""Other ways to make the same calls, each in a process of its own.

    python -m tests.benchmarks._peers CLIENT --in-flight 64 --calls 512 --within 60

CLIENT is asyncio (bare sockets: the bound), openai, openrouter, dspy, or prefork (Celery with a
synchronous httpx client in each child; REDIS_URL names its broker). Prints one JSON line: calls
that were answered, the seconds they took, CPU seconds of the process and its children.
"""

import argparse
import asyncio
import json
import os
import resource
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.standin_calls import MODEL

URL = os.environ.get("OPENROUTER_BASE_URL", "")
KEY = os.environ.get("OPENROUTER_API_KEY", "")
MESSAGES = [{"role": "user", "content": "Explain qubits in one paragraph."}]
Call = Callable[[int], Awaitable[object]]


class Timed(NamedTuple):
    """When the measured calls began, and how many were answered."""

    began: float
    answered: int


async def gathered(call: Call, in_flight: int, calls: int, within_s: float) -> Timed:
    """Every call, ``in_flight`` at a time, after one wave that opens the connections."""
    await _gathered(call, in_flight, range(-in_flight, 0), within_s)
    began = time.monotonic()
    return Timed(began, await _gathered(call, in_flight, range(calls), within_s))


async def _gathered(call: Call, in_flight: int, numbers: range, within_s: float) -> int:
    permits, answered = asyncio.Semaphore(in_flight), 0

    async def one(number: int) -> None:
        nonlocal answered
        async with permits:
            await call(number)
            answered += 1

    tasks = [asyncio.create_task(one(number)) for number in numbers]
    _, late = await asyncio.wait(tasks, timeout=within_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return answered


def body(number: int) -> bytes:
    """The same question with another name, as bytes."""
    asked = {"model": MODEL, "messages": MESSAGES, "max_tokens": 400, "user": str(number)}
    return json.dumps(asked).encode()


async def bare(in_flight: int, calls: int, within_s: float) -> Timed:
    """Sockets, bytes and nothing else: what any client could do at best."""
    parts = urlsplit(URL)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(number: int) -> None:
        opened = free.pop() if free else await asyncio.open_connection(
            parts.hostname, parts.port, ssl=context
        )  # fmt: skip
        reader, writer = opened
        sent = body(number)
        writer.write(
            f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(sent)}\r\n\r\n".encode()
            + sent
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        (length,) = (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        free.append(opened)

    return await gathered(call, in_flight, calls, within_s)


async def openai(in_flight: int, calls: int, within_s: float) -> Timed:
    """The openai SDK, one client, asyncio.gather."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=2, timeout=60) as client:

        def call(number: int) -> Awaitable[object]:
            return client.chat.completions.create(
                model=MODEL, messages=MESSAGES, max_tokens=400, user=str(number)
            )  # type: ignore[call-overload]

        return await gathered(call, in_flight, calls, within_s)


async def openrouter(in_flight: int, calls: int, within_s: float) -> Timed:
    """The official openrouter SDK, one client, asyncio.gather."""
    from openrouter import OpenRouter

    async with OpenRouter(api_key=KEY, server_url=URL, timeout_ms=60_000) as client:

        def call(number: int) -> Awaitable[object]:
            return client.chat.send_async(
                model=MODEL, messages=MESSAGES, max_tokens=400, user=str(number)
            )

        return await gathered(call, in_flight, calls, within_s)


def dspy(in_flight: int, calls: int, within_s: float) -> Timed:
    """DSPy's parallel evaluation: a thread per call in flight."""
    import dspy

    dspy.configure(
        lm=dspy.LM(f"openai/{MODEL}", api_base=URL, api_key=KEY, cache=False, max_tokens=400)
    )
    answered = 0

    def metric(example: object, found: object, trace: object = None) -> float:
        nonlocal answered
        answered += 1
        return 1.0

    examples = [dspy.Example(question=f"Explain qubits, part {n}").with_inputs("question")
                for n in range(calls)]  # fmt: skip
    evaluate = dspy.Evaluate(devset=examples, metric=metric, num_threads=in_flight,
                             display_progress=False, max_errors=calls)  # fmt: skip
    began = time.monotonic()
    evaluate(lambda question: dspy.settings.lm(question))
    return Timed(began, answered)


ASYNC = {"asyncio": bare, "openai": openai, "openrouter": openrouter}


def main() -> None:
    """One client, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("client", choices=[*ASYNC, "dspy", "prefork"])
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--calls", type=int, default=512)
    parser.add_argument("--within", type=float, default=60)
    wanted = parser.parse_args()
    sizes = (wanted.in_flight, wanted.calls, wanted.within)
    if wanted.client in ASYNC:
        timed = asyncio.run(ASYNC[wanted.client](*sizes))
    elif wanted.client == "dspy":
        timed = dspy(*sizes)
    else:
        from tests.benchmarks._prefork import calls

        timed = Timed(*calls(*sizes))
    seconds = time.monotonic() - timed.began
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    # The wave that opens the connections costs CPU too.
    share = wanted.calls / (wanted.calls + wanted.in_flight)
    cpu_s = share * sum(use.ru_utime + use.ru_stime for use in used)
    print(json.dumps({"answered": timed.answered, "seconds": seconds, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
