"""A million rollouts on the template engine, end to end.

    python -m tests.benchmarks.million [--rollouts 1000000] [--workers 1] [--set KEY=VALUE]
        [--json FILE]

64 prompts x 64 slots a step, max_staleness 1. Rollouts per second over the whole run, start and end
included; CPU per rollout; memory at a tenth of the run and at its end. Bound: 2,000 rollouts/s on
two cores, and memory that grows by less than a tenth.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from redis import Redis

from tests.benchmarks._measuring import arguments, report, rss_mb
from tests.benchmarks._runs import Watched, watched, write_prompts

#: Large groups: a Celery task costs the same whatever it carries.
PROMPTS, GROUP_SIZE = 64, 64
#: A batch ahead, so that workers and orchestrator work at the same time.
STALENESS = 1


def run(rollouts: int, workers: int, more: list[str]) -> dict[str, Any]:
    """One run to its end."""
    batch = PROMPTS * GROUP_SIZE
    steps = max(10, rollouts // batch)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_prompts(folder / "train.jsonl", 4 * PROMPTS)
        options = (
            "--data=train.jsonl",
            f"--steps={steps}",
            f"--set=batch_size={PROMPTS}",
            f"--set=group_size={GROUP_SIZE}",
            f"--set=workers={workers}",
            f"--set=max_staleness={STALENESS}",
            *(f"--set={pair}" for pair in more),
        )
        began = time.monotonic()
        with watched(folder, *options) as going:
            first, cpu = going.await_step(max(1, steps // 10)), going.cpu()
            since, early = time.monotonic(), _memory(going)
            last = going.await_step(steps - 2)
            spent = {who: used - cpu[who] for who, used in going.cpu().items()}
            late, seconds = _memory(going), time.monotonic() - since
            assert going.command.end().code == 0, going.command.err[-2000:]
        whole = time.monotonic() - began
    done = (last - first) * batch
    return {
        "rollouts": steps * batch,
        "workers": workers,
        "seconds": whole,
        "per_s": steps * batch / whole,
        "per_s_steady": done / seconds,
        **{f"{who}_ms": 1000 * used / done for who, used in spent.items()},
        **{f"{who}_mb": late[who] for who in late},
        "growth": max(late[who] / early[who] for who in late),
    }


def _memory(going: Watched) -> dict[str, float]:
    with Redis.from_url(going.url) as redis:
        used = int(redis.info("memory")["used_memory"]) / 2**20
    return {
        "orchestrator": rss_mb(going.command.pid),
        "worker": sum(map(rss_mb, going.workers)),
        "redis": used,
    }


def main() -> None:
    """Print one row."""
    parser = arguments(__doc__)
    parser.add_argument("--rollouts", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    wanted = parser.parse_args()
    report([run(wanted.rollouts, wanted.workers, wanted.set)], wanted.json)


if __name__ == "__main__":
    main()
