"""What the governor's waiting costs, and how near its own limit comes to the best fixed one.

    python -m tests.benchmarks.governor [--processes 4] [--seconds 60] [--bears 24]

Processes with 60 waiters between them call a server (in this process, over its Redis) that bears
``--bears`` calls at once and refuses more, with or without asking all to wait for a second. For
fixed limits around that number and for the governor's own limit it prints calls done, refused,
efficiency against the best that the server could do, and client commands per admitted call.
"""

import argparse
import asyncio
import multiprocessing
import random
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis

from shared.messages import Limits
from tests.governing import FINE, THROTTLED, Fleet, fleet, ticket, valkey
from worker.governor import Governor, OutOfTime
from worker.scripting import Scripting

WAITERS = 60
BUSY = "benchmark:busy"


class Load(NamedTuple):
    """What one process does."""

    url: str
    waiters: int
    seconds: float
    bears: int
    latency_s: float
    retry_after_s: float
    max_inflight: int


class Count(NamedTuple):
    """What came of it."""

    done: int
    refused: int


async def served(redis: Redis, load: Load) -> bool:
    """One call to a server with room for ``bears``; it refuses at once."""
    if await redis.incr(BUSY) > load.bears:
        await redis.decr(BUSY)
        return False
    await asyncio.sleep(load.latency_s * random.lognormvariate(0, 0.3))
    await redis.decr(BUSY)
    return True


async def work(load: Load, process: int) -> Count:
    """Call until the time is over."""
    redis = Redis.from_url(load.url, decode_responses=True)
    governor = Governor(redis, Scripting(redis), "test")
    limits = Limits(max_inflight=load.max_inflight)
    end = asyncio.get_running_loop().time() + load.seconds
    done = refused = 0

    async def slot(number: int) -> None:
        nonlocal done, refused
        attempt = 0
        while asyncio.get_running_loop().time() < end:
            attempt += 1
            call = ticket(f"{process}/{number}/{attempt}")
            try:
                await governor.admit(call, limits, end)
            except OutOfTime:
                return
            if await served(redis, load):
                done += 1
                await governor.settle(call, FINE)
            else:
                refused += 1
                await governor.settle(call, THROTTLED)
                await governor.pause("account", call.model, load.retry_after_s)

    await asyncio.gather(*(slot(number) for number in range(load.waiters)))
    await governor.aclose()
    await redis.aclose()
    return Count(done, refused)


def run_process(load: Load, process: int) -> Count:
    return asyncio.run(work(load, process))


async def measure(load: Load, processes: int) -> None:
    """Print one line."""

    async def all_processes(made: Fleet) -> None:
        await made.redis.set(BUSY, 0)
        before, began = await made.client_commands(), time.monotonic()
        share = load._replace(waiters=load.waiters // processes)
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            jobs = [(share, number) for number in range(processes)]
            counts = await asyncio.to_thread(pool.starmap, run_process, jobs)
        took = time.monotonic() - began
        done, refused = sum(c.done for c in counts), sum(c.refused for c in counts)
        # INCRBY and DECRBY are the server's.
        sent = await made.client_commands() - before - 2 * done - 2 * refused
        best = load.bears * load.seconds / (load.latency_s * 1.046)
        print(
            f"  {load.max_inflight:4d}  {done:6d} done  {refused:5d} refused"
            f"  efficiency {done / best:.3f}  {sent / (done + refused):.1f} commands a call"
            f"  ({took:.0f} s with the start)",
            flush=True,
        )

    async with fleet(load.url, 0) as made:
        await all_processes(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--bears", type=int, default=24)
    parser.add_argument("--latency", type=float, default=0.25, help="seconds, median")
    parser.add_argument("--retry-after", type=float, nargs="*", default=[0.0, 1.0])
    parser.add_argument("--shares", type=float, nargs="*", default=[0.75, 1.0, 1.25])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, valkey(Path(folder)) as url:
        for retry_after_s in chosen.retry_after:
            print(f"retry after {retry_after_s:g} s; max_inflight (the last: adaptive below 200)")
            for share in (*chosen.shares, 200 / chosen.bears):
                load = Load(
                    url,
                    WAITERS,
                    chosen.seconds,
                    chosen.bears,
                    chosen.latency,
                    retry_after_s,
                    round(chosen.bears * share),
                )
                asyncio.run(measure(load, chosen.processes))


if __name__ == "__main__":
    main()
