"""Texts in, answers out: many at a time, in the order of the texts; an error is a row as well."""

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.asking import Asker, NoAnswer
from orchestrator.data import record_of
from orchestrator.data_records import example
from orchestrator.plans import Plan, Reply, answered, drafted
from orchestrator.rollouts import Example
from orchestrator.strict_json import parse
from orchestrator.trained import Policy
from shared.errors import ConceptGrpoError, UsageError

Row = dict[str, Any]
Answer = Callable[[Plan], Awaitable[Plan | Reply]]

CHUNK_BYTES = 65536
#: Texts that are read ahead of the first one that is not answered, for each that is under way.
READ_AHEAD = 4


class Wish(NamedTuple):
    """How each text is answered."""

    answer: Answer
    samples: int = 1
    #: Of the first sample; the next ones have the next numbers.
    seed: int | None = None
    greedy: bool = False
    domain: str | None = None


class Tally:
    """What became of all texts."""

    def __init__(self) -> None:
        self.answered = 0
        #: Answers whose cost nobody knows.
        self.unpriced = 0
        #: By kind.
        self.failed: Counter[str] = Counter()

    def count(self, row: Row) -> None:
        """One row more."""
        if "error" in row:
            self.failed[row["error"]["kind"]] += 1
        else:
            self.answered += 1
            self.unpriced += row.get("cost_usd", 0.0) is None


def by(asker: Asker | None) -> Answer:
    """Answers of a model, or of the template engine."""

    async def answer(plan: Plan) -> Reply:
        return drafted(plan) if asker is None else await answered(asker, plan)

    return answer


async def planned(plan: Plan) -> Plan:
    """The plan itself: no model is asked."""
    return plan


async def answer(
    policy: Policy, text: str, wish: Wish, sample: int
) -> Plan | Reply | ConceptGrpoError:
    """One sample's answer to a text, or why it has none."""
    seed = None if wish.seed is None else wish.seed + sample
    try:
        plan = policy.plan(text, seed=seed, greedy=wish.greedy, domain=wish.domain)
        return await wish.answer(plan)
    except ConceptGrpoError as error:
        return error


async def stream(
    policy: Policy,
    lines: AsyncIterator[bytes],
    wish: Wish,
    at_once: int,
    emit: Callable[[Row], None],
) -> None:
    """Emit the rows of each line, in the order of the lines, as soon as that allows.

    Being cancelled, it emits what has been answered until then.
    A line is a text, or a JSON object as a line of training data is. No more than ``at_once`` lines
    are in hand, and a few times as many are read ahead of the first that is not answered.
    """
    permits = asyncio.Semaphore(at_once)
    begun: asyncio.Queue[asyncio.Task[list[Row]] | None] = asyncio.Queue(at_once * READ_AHEAD)

    async def work(number: int, line: bytes) -> list[Row]:
        async with permits:
            return await _rows(policy, number, line, wish)

    async def begin() -> None:
        number = 0
        async for line in lines:
            number += 1
            if line.strip():
                await begun.put(group.create_task(work(number, line)))
        await begun.put(None)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(begin())
            while (task := await begun.get()) is not None:
                for row in await task:
                    emit(row)
    except asyncio.CancelledError:
        # What was answered behind a line that was not has been paid for, too.
        for row in _ready(begun):
            emit(row)
        raise
    except BaseExceptionGroup as several:
        # One ended the others, such as the reader of our output that has gone away.
        raise several.exceptions[0] from None


async def lines_of(descriptor: int) -> AsyncIterator[bytes]:
    """The lines of a file descriptor as they come, without their ends."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(1)

    def read() -> None:
        # A loop that has ended takes no more.
        with contextlib.suppress(RuntimeError, CancelledError):
            # No buffered file: its lock would be held by this thread when the process ends.
            while chunk := os.read(descriptor, CHUNK_BYTES):
                asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
            asyncio.run_coroutine_threadsafe(chunks.put(b""), loop).result()

    threading.Thread(target=read, name="lines", daemon=True).start()
    unended = b""
    while chunk := await chunks.get():
        *whole, unended = (unended + chunk).split(b"\n")
        for line in whole:
            yield line
    if unended:
        yield unended


def row_of(found: Plan | Reply | ConceptGrpoError) -> Row:
    """A reply, a plan alone, or an error as JSON values."""
    if isinstance(found, Reply):
        return found.model_dump(mode="json")
    if isinstance(found, Plan):
        return {"plan": found.model_dump(mode="json")}
    if isinstance(found, NoAnswer):
        kind, cost_usd = found.kind, found.cost_usd
    else:
        kind, cost_usd = "usage" if isinstance(found, UsageError) else "not_ready", 0.0
    return {"error": {"kind": kind, "message": str(found), "cost_usd": cost_usd}}


def _ready(begun: asyncio.Queue[asyncio.Task[list[Row]] | None]) -> Iterator[Row]:
    while not begun.empty():
        task = begun.get_nowait()
        if task and task.done() and not task.cancelled() and not task.exception():
            yield from task.result()


async def _rows(policy: Policy, number: int, line: bytes, wish: Wish) -> list[Row]:
    try:
        asked = _example(number, line)
    except UsageError as error:
        return [{"line": number, **row_of(error)}]
    wish = wish._replace(domain=asked.domain or wish.domain)
    found = await asyncio.gather(
        *(answer(policy, asked.text, wish, sample) for sample in range(wish.samples))
    )
    return [{"line": number, "id": asked.id, **row_of(each)} for each in found]


def _example(number: int, line: bytes) -> Example:
    """The example in a line: its text, or an object that says more. Raises UsageError."""
    where = f"stdin:{number}"
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{where}: is not UTF-8; save the lines as UTF-8") from None
    values = parse(text, Path("stdin"), number) if text.startswith("{") else {"text": text}
    return example(record_of(values, where), where, f"e{number:03}")
