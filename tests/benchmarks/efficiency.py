"""Calls in flight: how much of what the answers allow each client gets.

    python -m tests.benchmarks.efficiency [--in-flight 64,256,1024] [--clients ours,asyncio,...]
        [--waves 4] [--repeat 3] [--plain-http] [--stand-in] [--json FILE]

Every answer takes 500 ms, behind TLS, from an endpoint that has its answers ready (``_canned``), or
from the stand-in, which takes more CPU than a good client. Efficiency: what the calls take at that
concurrency, by the time taken. ``asyncio`` is a client of bare sockets on the same server, so it is
the bound: server and client share this machine. Ours is a real run and its whole step: drawn,
published, admitted by the governor, called, classified, kept, scored, gathered, learnt from,
checkpointed; ``ours2`` has two worker processes, and ``ours2ahead`` draws a batch ahead
(max_staleness 1), so that no barrier holds it up. The others only call. A client that answers
nothing in a minute has 0.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orchestrator.embedded import Embedded
from tests.benchmarks._endpoint import Endpoint, endpoint
from tests.benchmarks._measuring import arguments, cpu_s, report
from tests.benchmarks._runs import watched, write_prompts
from tests.standin_calls import MODEL

LATENCY_S = 0.5
GROUPS = 64
#: Steps until the governor has found out what the endpoint bears.
WARM, MEASURED = 3, 3
#: Beyond this many children a prefork worker needs more memory than most machines have.
MOST_CHILDREN = 64
WITHIN_S = 60


def ours(place: Path, there: Endpoint, in_flight: int, waves: int, client: str) -> dict[str, Any]:
    """A run whose every step has ``waves`` x ``in_flight`` calls."""
    ahead = client.endswith("ahead")
    workers = int(client.removeprefix("ours").removesuffix("ahead") or 1)
    group_size = max(2, waves * in_flight // GROUPS)
    calls = group_size * GROUPS
    with tempfile.TemporaryDirectory(dir=place) as here:
        folder = Path(here)
        write_prompts(folder / "train.jsonl", 2 * GROUPS)
        options = (
            "--data=train.jsonl",
            f"--model={MODEL}",
            f"--steps={WARM + MEASURED}",
            f"--set=batch_size={GROUPS}",
            f"--set=group_size={group_size}",
            f"--set=max_inflight={in_flight}",
            f"--set=workers={workers}",
            f"--set=worker_groups={GROUPS}",
            f"--set=max_staleness={int(ahead)}",
        )
        with watched(folder, *options, **there.environment) as going:
            going.await_step(WARM)
            before, server = going.cpu(), cpu_s(there.pid)
            going.await_step(WARM + MEASURED)
            used = sum(going.cpu().values()) - sum(before.values())
            served = cpu_s(there.pid) - server
            steps = [row["step_s"] for row in going.steps()[WARM : WARM + MEASURED]]
    taken = statistics.median(steps)
    return _row(client, in_flight, calls, taken, calls, {
        "cpu_ms": 1000 * used / (calls * MEASURED),
        "server_ms": 1000 * served / (calls * MEASURED),
    })  # fmt: skip


def peer(
    client: str, there: Endpoint, in_flight: int, waves: int, broker: str
) -> dict[str, Any] | None:
    """A client of ``_peers``; None if it does not fit here."""
    if client == "prefork" and in_flight > MOST_CHILDREN:
        return None
    calls, server = waves * in_flight, cpu_s(there.pid)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks._peers", client, f"--in-flight={in_flight}",
         f"--calls={calls}", f"--within={WITHIN_S}"],
        env={**os.environ, **there.environment, "REDIS_URL": broker},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        print(f"{client} failed: {ended.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    found = json.loads(ended.stdout.splitlines()[-1])
    answered = found["answered"]
    return _row(client, in_flight, calls, found["seconds"], answered, {
        "cpu_ms": 1000 * found["cpu_s"] / max(answered, 1),
        "server_ms": 1000 * (cpu_s(there.pid) - server) / max(answered, 1),
    })  # fmt: skip


def _row(
    client: str, in_flight: int, calls: int, taken: float, answered: int, more: dict[str, float]
) -> dict[str, Any]:
    return {
        "client": client,
        "in_flight": in_flight,
        "calls": calls,
        "answered": answered,
        "seconds": taken,
        "efficiency": answered / in_flight * LATENCY_S / taken,
        **more,
    }


def measured(
    clients: Sequence[str], there: Endpoint, place: Path, in_flight: int, waves: int, broker: str
) -> list[dict[str, Any]]:
    """One row per client, and its share of the bound."""
    rows = []
    for client in clients:
        if client.startswith("ours"):
            rows.append(ours(place, there, in_flight, waves, client))
        elif found := peer(client, there, in_flight, waves, broker):
            rows.append(found)
    bounds = [row["efficiency"] for row in rows if row["client"] == "asyncio"]
    for row in rows:
        row["of_bound"] = row["efficiency"] / bounds[0] if bounds and bounds[0] else None
    return rows


def main() -> None:
    """Print a row per client and number in flight: the median run by efficiency."""
    parser = arguments(__doc__)
    parser.add_argument("--in-flight", default="64,256,1024")
    parser.add_argument(
        "--clients", default="asyncio,ours,ours2,ours2ahead,openai,openrouter,prefork,dspy"
    )
    parser.add_argument("--waves", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--plain-http", action="store_true")
    parser.add_argument("--stand-in", action="store_true")
    wanted = parser.parse_args()
    clients = wanted.clients.split(",")
    needed = {"openai", "openrouter", "dspy"} & set(clients)
    for missing in sorted(name for name in needed if not find_spec(name)):
        print(f"{missing} is not installed and is left out; pip install -e '.[bench]'")
        clients.remove(missing)
    rows = []
    with tempfile.TemporaryDirectory() as here:
        place = Path(here)
        latency_ms = 1000 * LATENCY_S
        for in_flight in map(int, wanted.in_flight.split(",")):
            runs: list[list[dict[str, Any]]] = []
            for _ in range(wanted.repeat):
                with (
                    endpoint(
                        place, latency_ms, tls=not wanted.plain_http, canned=not wanted.stand_in
                    ) as there,
                    Embedded(place / "redis", place / "logs", 0, 0) as redis,
                ):
                    runs.append(measured(
                        clients, there, place, in_flight, wanted.waves, redis.url
                    ))  # fmt: skip
            rows += [
                sorted(same, key=lambda row: row["efficiency"])[len(same) // 2]
                for same in zip(*runs, strict=True)
            ]
    report(rows, wanted.json)


if __name__ == "__main__":
    main()
