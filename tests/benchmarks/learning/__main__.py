"""The command: ``python -m tests.benchmarks.learning``; with ``--tune``, the tuning of settings."""

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.learning import plot, table, tuning
from tests.benchmarks.learning.environments import ENVIRONMENTS, environment
from tests.benchmarks.learning.learner import learn
from tests.benchmarks.learning.learners import LEARNERS, missing

#: Seeds of the table; those of tuning start at ``tuning.FIRST_SEED``.
FIRST_SEED = 0
#: A sequential model-based search takes time that grows with the square of its trials.
MOST_CALLS = {"tpe": 1024}


def main() -> None:
    chosen = _arguments()
    names = [name for name in chosen.learners if not _said_missing(name)]
    if chosen.tune:
        for name in names:
            print(tuning.text(name, tuning.raced(name, chosen.seeds, chosen.environments)))
        return
    rows = []
    for one in _rows(names, chosen.environments, chosen.seeds, chosen.calls):
        rows.append(one)
    labels = {name: entry.label for name, entry in LEARNERS.items()}
    print(table.text(rows, labels))
    print(_effort(names))
    if chosen.json:
        about = {
            "seeds": list(range(FIRST_SEED, FIRST_SEED + chosen.seeds)),
            "machine": platform.platform(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "settings": {name: LEARNERS[name].chosen for name in names},
            "settings_tried": {name: len(LEARNERS[name].settings) for name in names},
        }
        chosen.json.write_text(json.dumps(table.document(rows, about)), encoding="utf-8")
    if chosen.plot:
        chosen.plot.write_text(plot.svg(rows, labels), encoding="utf-8")


def _rows(
    names: Sequence[str], environments: Sequence[str], seeds: int, calls: int
) -> Iterator[table.Row]:
    for place in environments:
        for name in names:
            started = time.monotonic()
            most = min(calls, MOST_CALLS.get(name, calls))
            curves = [
                learn(
                    LEARNERS[name].recipe,
                    environment(place, seed),
                    seed,
                    most,
                    table.COLUMNS,
                )
                for seed in range(FIRST_SEED, FIRST_SEED + seeds)
            ]
            one = table.row(place, name, curves)
            print(f"# {place} {name}: {time.monotonic() - started:.0f} s", flush=True)
            yield one


def _effort(names: Sequence[str]) -> str:
    lines = [f"\nSettings tried on tuning seeds {tuning.FIRST_SEED} and up, and the one chosen:\n"]
    lines += [
        f"- {LEARNERS[name].label}: {len(LEARNERS[name].settings)} {LEARNERS[name].effort}; "
        f"{LEARNERS[name].chosen}"
        for name in names
    ]
    return "\n".join(lines)


def _said_missing(name: str) -> bool:
    reason = missing(name)
    if reason:
        print(f"{LEARNERS[name].label} is skipped: {reason}")
    return reason is not None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--environments", nargs="+", choices=ENVIRONMENTS, default=[*ENVIRONMENTS])
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=[*LEARNERS])
    parser.add_argument("--calls", type=int, default=1024, help="per learner and seed")
    parser.add_argument("--json", type=Path, help="write the table and curves here")
    parser.add_argument("--plot", type=Path, help="write an SVG here")
    parser.add_argument("--tune", action="store_true", help="race all settings instead")
    return parser.parse_args()


if __name__ == "__main__":
    main()
