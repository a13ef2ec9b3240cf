"""Memory and open files of orchestrator, worker and Redis over a long run.

    python -m tests.benchmarks.memory [--steps 10000] [--rows 10] [--json FILE]

A run on the template engine, read from /proc while it goes on. The bound is the run itself: from
the first row on (a tenth of the steps), nothing may grow by more than a tenth. Exit 1 if it does.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from orchestrator.embedded import connect
from tests.processes import PROC, descendants, environment, running
from tests.running import Started, only_run, started

OPTIONS = (
    "--no-live",
    "--set=batch_size=2",
    "--set=group_size=4",
    "--set=eval_interval=0",
    "--set=eval_samples=1",
    "--set=no_signal_patience=0",
)
LARGEST_GROWTH = 1.10


class Row(NamedTuple):
    """What was seen when a step had just been done; memory in kB."""

    step: int
    seconds: float
    orchestrator_rss: int
    orchestrator_files: int
    worker_rss: int
    worker_files: int
    redis_rss: int
    redis_used: int


def rows(command: Started, folder: Path, steps: int, count: int) -> Iterator[Row]:
    """A row after each of ``count`` equal parts of the run."""
    command.await_words("  plan ")
    below = descendants(command.pid)
    (worker,) = running(below, "-m worker")
    (server,) = running(below, "valkey-server")
    began, metrics = time.monotonic(), only_run(folder) / "metrics.jsonl"
    with connect(environment(worker)["REDIS_URL"]) as redis:
        for part in range(1, count + 1):
            # The last row is read shortly before the end, while everything still runs.
            step = min(steps * part // count, steps - 20)
            _await_step(command, metrics, step)
            used = int(redis.info("memory")["used_memory"]) // 1024
            seconds = round(time.monotonic() - began, 1)
            redis_rss, _ = _process(server)
            yield Row(step, seconds, *_process(command.pid), *_process(worker), redis_rss, used)


def _process(pid: int) -> tuple[int, int]:
    """Resident kB, and open files."""
    status = (PROC / str(pid) / "status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]), len(list((PROC / str(pid) / "fd").iterdir()))


def _await_step(command: Started, metrics: Path, step: int) -> None:
    while True:
        assert command.process.poll() is None, command.err[-2000:]
        if metrics.exists() and _last_step(metrics) >= step:
            return
        time.sleep(0.1)


def _last_step(metrics: Path) -> int:
    with metrics.open("rb") as file:
        file.seek(max(0, metrics.stat().st_size - 4096))
        lines = file.read().split(b"\n")[:-1]
    try:
        return int(json.loads(lines[-1])["step"])
    except (IndexError, ValueError):
        return 0


def growth(found: list[Row]) -> dict[str, float]:
    """Per column: the largest value of any row, against the first row's."""
    first = found[0]
    return {
        name: max(getattr(row, name) for row in found) / max(getattr(first, name), 1)
        for name in Row._fields[2:]
    }


def main() -> None:
    """Print a row at a time, then what grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    print("  ".join(f"{name:>18}" for name in Row._fields))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        options = ("run", f"--steps={wanted.steps}", *OPTIONS)
        with started(*options, cwd=folder) as command:
            found = []
            for row in rows(command, folder, wanted.steps, wanted.rows):
                found.append(row)
                print("  ".join(f"{value:>18}" for value in row), flush=True)
            assert command.end().code == 0, command.err[-2000:]
    grown = growth(found)
    for name, factor in grown.items():
        print(f"{name:>18}  x {factor:.3f}{'' if factor <= LARGEST_GROWTH else '   GROWS'}")
    if wanted.json:
        wanted.json.write_text(json.dumps({"rows": [r._asdict() for r in found], "growth": grown}))
    sys.exit(any(factor > LARGEST_GROWTH for factor in grown.values()))


if __name__ == "__main__":
    main()
