"""CPU time and Redis commands per rollout, generated and scored.

    python -m tests.benchmarks.cost [--rollouts 8192] [--group-size 8] [--repeat 3] [--json FILE]

A real run on the embedded engine, once on the template engine and once on the OpenRouter stand-in
that answers at once. CPU is that of each process between two steps (/proc); the stand-in's own does
not count. Redis commands are counted in a second, shorter run by MONITOR: those that clients send,
the governor's apart, and those that scripts run inside the server. Bounds: 1.2 ms of CPU, and 3
commands sent beside the governor's.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from tests.benchmarks._endpoint import Endpoint, endpoint
from tests.benchmarks._measuring import arguments, cpu_s, medians, report, senders
from tests.benchmarks._runs import Watched, watched, write_prompts
from tests.standin_calls import MODEL
from worker.governor.scripts import Scripts
from worker.scripting import Scripting

PROMPTS = 64
#: Steps before the first measured one: caches, connections, the governor's first doublings.
WARM = 3


def run(provider: str, rollouts: int, group_size: int) -> dict[str, Any]:
    """One row: CPU first, then the commands of a shorter run."""
    batch = PROMPTS * group_size
    with _run(provider, rollouts // batch, group_size) as (going, standin):
        first = going.await_step(WARM)
        before = {**going.cpu(), "standin": cpu_s(standin.pid) if standin else 0.0}
        last = going.await_step(WARM + rollouts // batch)
        after = {**going.cpu(), "standin": cpu_s(standin.pid) if standin else 0.0}
    done = (last - first) * batch
    cpu = {f"{who}_ms": 1000 * (after[who] - before[who]) / done for who in before}
    ours = sum(value for who, value in cpu.items() if who != "standin_ms")
    row = {"provider": provider, "G": group_size, "ours_ms": ours, **cpu}
    return row | _commands(provider, group_size)


def _commands(provider: str, group_size: int) -> dict[str, float]:
    batch = PROMPTS * group_size
    with _run(provider, 4, group_size) as (going, _), Redis.from_url(going.url) as redis:
        first = going.await_step(WARM)
        with senders(going.url) as seen:
            last = going.await_step(WARM + 3)
        mine = Scripts(Scripting(redis))  # type: ignore[arg-type]  # only their hashes are read
    governor = {script.sha for script in vars(mine).values()}
    done = (last - first) * batch
    governed = sum(n for name, n in seen.sent.items() if name.partition(" ")[2] in governor)
    waiting = seen.sent["BLPOP"]
    return {
        "sent": (seen.sent.total() - governed - waiting) / done,
        "sent_governor": (governed + waiting) / done,
        "in_scripts": seen.inside.total() / done,
    }


@contextmanager
def _run(provider: str, steps: int, group_size: int) -> Iterator[tuple[Watched, Endpoint | None]]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_prompts(folder / "train.jsonl", 4 * PROMPTS)
        options = (
            "--data=train.jsonl",
            f"--steps={WARM + steps + 2}",
            f"--set=batch_size={PROMPTS}",
            f"--set=group_size={group_size}",
            "--set=max_inflight=256",
        )
        if provider == "template":
            with watched(folder, *options) as going:
                yield going, None
            return
        with endpoint(folder, 0, tls=False) as standin:
            model = f"--model={MODEL}"
            with watched(folder, *options, model, **standin.environment) as going:
                yield going, standin


def main() -> None:
    """Print a row per provider: medians of the repetitions."""
    parser = arguments(__doc__)
    parser.add_argument("--rollouts", type=int, default=8192)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    wanted = parser.parse_args()
    rows = []
    for provider, share in (("template", 1), ("stand-in", 4)):
        rollouts = max(wanted.rollouts // share, PROMPTS * wanted.group_size)
        runs = [run(provider, rollouts, wanted.group_size) for _ in range(wanted.repeat)]
        rows.append(medians(runs))
    report(rows, wanted.json)


if __name__ == "__main__":
    main()
