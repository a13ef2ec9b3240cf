"""Real runs, watched from outside: which processes they are, where they stand, what they cost."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks._measuring import cpu_s
from tests.processes import descendants, environment, running
from tests.running import Started, metrics, only_run, started

#: No evaluation and no early stop: every rollout is a training rollout.
PLAIN = (
    "--no-live",
    "--set=eval_interval=0",
    "--set=eval_samples=1",
    "--set=no_signal_patience=0",
)


class Watched(NamedTuple):
    """A run on the embedded engine that has begun."""

    command: Started
    folder: Path
    workers: tuple[int, ...]
    redis: int
    url: str

    @property
    def metrics_file(self) -> Path:
        return only_run(self.folder) / "metrics.jsonl"

    def steps(self) -> list[dict[str, Any]]:
        """The rows of the steps that are done."""
        return metrics(only_run(self.folder))

    def last_step(self) -> int:
        """The last step that is done, read from the end of the file."""
        try:
            with self.metrics_file.open("rb") as file:
                file.seek(max(0, self.metrics_file.stat().st_size - 8192))
                return int(json.loads(file.read().split(b"\n")[-2])["step"])
        except (OSError, IndexError, ValueError):
            return 0

    def await_step(self, step: int, within_s: float = 600) -> int:
        """Wait until a step is done; the step that is done by then."""
        end = time.monotonic() + within_s
        while (done := self.last_step()) < step:
            assert self.command.process.poll() is None, self.command.err[-2000:]
            assert time.monotonic() < end, f"step {step} is not done after {within_s:.0f} s"
            time.sleep(0.02)
        return done

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far: orchestrator, all workers, Redis."""
        return {
            "orchestrator": cpu_s(self.command.pid),
            "worker": sum(map(cpu_s, self.workers)),
            "redis": cpu_s(self.redis),
        }


@contextmanager
def watched(folder: Path, *options: str, **variables: str) -> Iterator[Watched]:
    """``orchestrator run OPTIONS`` in ``folder``, from its first step on."""
    with started("run", *PLAIN, *options, cwd=folder, **variables) as command:
        command.await_words("  plan ", 60)
        below = descendants(command.pid)
        workers, (server,) = running(below, "-m worker"), running(below, "valkey-server")
        url = environment(workers[0])["REDIS_URL"]
        yield Watched(command, folder, tuple(workers), server, url)


def write_prompts(file: Path, count: int) -> None:
    """Training data with so many different prompts."""
    topics = ("qubits", "neural networks", "decision trees", "entanglement", "backpropagation")
    rows = [{"text": f"Explain {topics[n % len(topics)]}, part {n}"} for n in range(count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
