"""1, 2, 4 and 8 worker processes where only the answers take time.

    python -m tests.benchmarks.processes [--processes 1,2,4,8] [--latency-s 1] [--json FILE]

Each process has four groups of eight slots in hand, each slot answered after ``--latency-s`` by the
template engine, so that even eight processes leave the CPU mostly idle. The bound is what the
answers alone take: slots / (slots in hand) x latency. Efficiency is that bound / the step's time;
linear is the rate per process against the rate of the first row.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks._measuring import arguments, report
from tests.benchmarks._runs import watched, write_prompts

GROUPS, GROUP_SIZE = 4, 8
#: Times that a step fills all the hands there are.
WAVES = 4
WARM, MEASURED = 1, 3


def run(processes: int, latency_s: float) -> dict[str, Any]:
    """One row: medians over the measured steps."""
    prompts = processes * GROUPS * WAVES
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_prompts(folder / "train.jsonl", 2 * prompts)
        options = (
            "--data=train.jsonl",
            f"--steps={WARM + MEASURED}",
            f"--set=batch_size={prompts}",
            f"--set=group_size={GROUP_SIZE}",
            f"--set=workers={processes}",
            f"--set=worker_groups={GROUPS}",
            f"--set=template_latency_s={latency_s}",
        )
        with watched(folder, *options) as going:
            going.await_step(WARM + MEASURED)
            seconds = statistics.median(row["step_s"] for row in going.steps()[WARM:])
    slots = prompts * GROUP_SIZE
    bound_s = WAVES * latency_s
    return {
        "processes": processes,
        "in_hand": processes * GROUPS * GROUP_SIZE,
        "rollouts_per_s": slots / seconds,
        "step_s": seconds,
        "bound_s": bound_s,
        "efficiency": bound_s / seconds,
    }


def main() -> None:
    """Print a row per number of processes."""
    parser = arguments(__doc__)
    parser.add_argument("--processes", default="1,2,4,8")
    parser.add_argument("--latency-s", type=float, default=1)
    wanted = parser.parse_args()
    rows = [run(int(count), wanted.latency_s) for count in wanted.processes.split(",")]
    single = rows[0]["rollouts_per_s"] / rows[0]["processes"]
    for row in rows:
        row["linear"] = row["rollouts_per_s"] / (single * row["processes"])
    report(rows, wanted.json)


if __name__ == "__main__":
    main()
