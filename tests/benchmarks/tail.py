"""Steps under heavy-tailed latency: what the barrier at the end of each costs.

    python -m tests.benchmarks.tail [--staleness 0] [--steps 20] [--json FILE]

Steps of 8 prompts x 8 slots on the stand-in, lognormal latency (median 800 ms, sigma 0.6), 64
permits. The drawn latencies follow from each request, so two bounds are exact: with a barrier a
step takes as long as its slowest answer; with all permits always busy, the sum of its answers / 64.
``--staleness`` takes a list, such as 0,1,2,4, where the config has max_staleness.
"""

import json
import statistics
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from orchestrator.config import RunConfig
from orchestrator.standin.draws import Draws
from orchestrator.standin.latency import seconds
from orchestrator.standin.server import HOST
from orchestrator.standin.settings import Settings
from tests.benchmarks._endpoint import endpoint
from tests.benchmarks._measuring import arguments, report
from tests.benchmarks._runs import watched
from tests.standin_calls import MODEL

SLOTS = 64
SETTINGS = Settings(latency_ms=800, sigma=0.6)
#: Steps in which the governor finds out what the endpoint bears.
WARM = 4
#: Exchanges that the stand-in remembers.
REMEMBERED = 1000


def run(staleness: int, steps: int) -> dict[str, Any]:
    """One row, over the steps after the first ``WARM``."""
    more = [f"--set=max_staleness={staleness}"] if staleness else []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with endpoint(folder, SETTINGS.latency_ms, SETTINGS.sigma, tls=False) as standin:
            options = (
                f"--model={MODEL}",
                # As much is in flight after the last measured step as before the first.
                f"--steps={WARM + steps + staleness}",
                "--set=batch_size=8",
                "--set=group_size=8",
                f"--set=max_inflight={SLOTS}",
                *more,
            )
            with watched(folder, *options, **standin.environment) as going:
                going.await_step(WARM + steps)
                ended = going.metrics_file.stat().st_mtime
                rows = going.steps()[WARM : WARM + steps]
                drawn = _drawn(standin.port, steps * SLOTS, ended)
    by_step = [drawn[at : at + SLOTS] for at in range(0, len(drawn), SLOTS)]
    taken = sum(row["step_s"] for row in rows)
    barrier, ideal = sum(map(max, by_step)), sum(map(sum, by_step)) / SLOTS
    return {
        "staleness": staleness,
        "steps": len(rows),
        "step_s": taken / len(rows),
        "barrier_s": barrier / len(rows),
        "ideal_s": ideal / len(rows),
        "of_barrier": barrier / taken,
        "of_ideal": ideal / taken,
        "over_barrier_ms": 1000
        * statistics.median(
            row["step_s"] - max(step) for row, step in zip(rows, by_step, strict=True)
        ),
    }


def _drawn(port: int, count: int, ended: float) -> list[float]:
    """The latencies that the last ``count`` requests before ``ended`` were to take."""
    assert count <= REMEMBERED, f"the stand-in remembers {REMEMBERED} exchanges"
    connection = HTTPConnection(HOST, port, timeout=10)
    connection.request("GET", f"/_control/received?last={REMEMBERED}")
    kept = json.loads(connection.getresponse().read())["last"]
    connection.close()
    ago_s = time.time() - ended
    trained = [one for one in kept if one["seconds_ago"] > ago_s]
    return [
        seconds(SETTINGS, Draws(SETTINGS.seed, bytes.fromhex(one["asked"]), one["nth"]))
        for one in trained[-count:]
    ]


def main() -> None:
    """Print a row per staleness."""
    parser = arguments(__doc__)
    parser.add_argument("--staleness", default="0")
    parser.add_argument("--steps", type=int, default=12)
    wanted = parser.parse_args()
    known = "max_staleness" in RunConfig.model_fields
    asked = [int(value) for value in wanted.staleness.split(",")]
    if not known and any(asked):
        print("max_staleness is no config key here: only staleness 0 is measured")
        asked = [0]
    report([run(staleness, wanted.steps) for staleness in asked], wanted.json)


if __name__ == "__main__":
    main()
