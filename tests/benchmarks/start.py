"""Start-up: ``orchestrator --help``, an empty Python beside it, and a run to its first rollout.

    python -m tests.benchmarks.start [--repeat 5] [--json FILE]

Medians. Bounds: help in 150 ms, the first rollout within 3 s, a worker's first heartbeat and the
refusal of a Redis that does not answer as well.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis

from orchestrator.embedded import Embedded
from tests.benchmarks._measuring import arguments, children_cpu_s, report
from tests.benchmarks._runs import watched
from tests.running import ORCHESTRATOR

#: Held-out prompts of the built-in examples: with more results than that, one of them is a reward.
HELD_OUT = 24


def command(*words: str | Path) -> None:
    """Run a command to its end."""
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def first_heartbeat() -> None:
    """Until a worker of its own beats, the server included."""
    with (
        tempfile.TemporaryDirectory() as place,
        Embedded(Path(place) / "state", Path(place) / "logs", 1, 1) as engine,
    ):
        engine.await_workers()


def refused() -> None:
    """Until a run has given up a Redis that does not answer."""
    with tempfile.TemporaryDirectory() as place:
        words = [ORCHESTRATOR, "run", "--redis=redis://127.0.0.1:1/0"]
        ended = subprocess.run(words, cwd=place, capture_output=True, check=False)
        assert ended.returncode == 3, ended.stderr


def first_rollout() -> None:
    """Until the first rollout of a run is generated and scored: here a held-out one."""
    with (
        tempfile.TemporaryDirectory() as place,
        watched(Path(place), "--steps=100000") as going,
        Redis.from_url(going.url) as redis,
    ):
        while _results(redis) <= HELD_OUT:
            time.sleep(0.01)


def _results(redis: Redis) -> int:
    """Completions and rewards that the workers have told of so far."""
    return int(redis.info("commandstats").get("cmdstat_xadd", {}).get("calls", 0))


def first_step() -> None:
    """Until the first step of a run of 8 x 8 rollouts is on disk."""
    with tempfile.TemporaryDirectory() as place, watched(Path(place), "--steps=100000") as going:
        going.await_step(1)


def timed(what: str, work: Callable[[], None], repeat: int) -> dict[str, Any]:
    """One row."""
    seconds, cpu = [], []
    for _ in range(repeat):
        began, used = time.monotonic(), children_cpu_s()
        work()
        seconds.append(time.monotonic() - began)
        cpu.append(children_cpu_s() - used)
    return {
        "what": what,
        "ms": 1000 * statistics.median(seconds),
        "least_ms": 1000 * min(seconds),
        "cpu_ms": 1000 * statistics.median(cpu),
    }


def main() -> None:
    """Print a row per command."""
    parser = arguments(__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    wanted = parser.parse_args()
    rows = [
        timed("python -c pass", lambda: command(sys.executable, "-c", "pass"), wanted.repeat),
        timed("orchestrator --help", lambda: command(ORCHESTRATOR, "--help"), wanted.repeat),
        timed("run on a Redis that is not there", refused, wanted.repeat),
        {**timed("worker to its first heartbeat", first_heartbeat, wanted.repeat), "cpu_ms": None},
        {**timed("run to the first rollout", first_rollout, wanted.repeat), "cpu_ms": None},
        {**timed("run to the first step", first_step, wanted.repeat), "cpu_ms": None},
    ]
    report(rows, wanted.json)


if __name__ == "__main__":
    main()
