"""What a worker shows to Prometheus: its calls, how long they took, what it has in hand.

Counted where it happens, computed when somebody asks. No label has values without a bound.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.metrics_server import served
from worker.loop import WorkerLoop
from worker.slots import GroupTask
from worker.watching import EndedCall

log = logging.getLogger(__name__)

#: Upper bounds in seconds, from a small local model to the longest that a call may take.
CALL_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0)


class WorkerMetrics:
    """Watches the calls of one worker."""

    def __init__(self, loop: WorkerLoop) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_InHand(loop))
        self._calls = Counter(
            "cgrpo_worker_calls", "Calls that ended.", ["role", "outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "cgrpo_worker_call_seconds",
            "Seconds of a call, first byte to last.",
            ["role"],
            buckets=CALL_SECONDS,
            registry=self.registry,
        )
        self._tasks = Counter(
            "cgrpo_worker_tasks", "Tasks that ended.", ["role"], registry=self.registry
        )
        self._pauses = Counter(
            "cgrpo_worker_pauses", "Pauses asked for.", ["scope"], registry=self.registry
        )
        self._paused = Counter(
            "cgrpo_worker_pause_seconds",
            "Seconds of pause that were asked for.",
            ["scope"],
            registry=self.registry,
        )

        for scope in ("account", "model"):
            # A counter that is not there before cannot be seen to rise.
            self._pauses.labels(scope)
            self._paused.labels(scope)

    def called(self, call: EndedCall) -> None:
        """Count a call: its outcome is ``ok`` or the name of a fault."""
        self._calls.labels(call.role, call.found.fault).inc()
        self._seconds.labels(call.role).observe(call.seconds)

    def worked(self, task: GroupTask, seconds: float) -> None:
        """Count a task."""
        self._tasks.labels(task.role).inc()

    def paused(self, scope: str, seconds: float) -> None:
        """Count a pause."""
        self._pauses.labels(scope).inc()
        self._paused.labels(scope).inc(seconds)


class _InHand(Collector):
    """What a worker is doing now."""

    def __init__(self, loop: WorkerLoop) -> None:
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        loop = self._loop
        rows = {
            "groups_in_hand": ("Groups that this worker works on.", loop.slots.in_hand),
            "groups": ("Groups that this worker can have in hand.", loop.card.groups),
        }
        for name, (words, value) in rows.items():
            yield GaugeMetricFamily(f"cgrpo_worker_{name}", words, value)


def watched(loop: WorkerLoop, port: int) -> AbstractContextManager[str]:
    """Watch the loop's calls, from its start on, and serve what is seen. Raises
    EnvironmentNotReady."""
    metrics = WorkerMetrics(loop)
    loop.watches.append(metrics)
    return served(metrics.registry, port)
