"""What a run shows to Prometheus: on ``--metrics-port``, off by default.

What the run itself knows is noted as it happens; what lies in Redis (money, workers, queues,
pauses) is read when somebody asks. No label has values without a bound.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from orchestrator.alarms import Alarm
from orchestrator.embedded import connect
from orchestrator.engine import Engine
from orchestrator.evaluation import Evaluation
from orchestrator.inputs import Inputs
from orchestrator.ledger import Progress
from orchestrator.preflight import Models
from orchestrator.rollouts import Group, StepReport
from orchestrator.run_directory import RunDirectory
from orchestrator.trackers.fleet_metrics import FleetMetrics
from orchestrator.trackers.rows import evaluation_row, step_row
from shared.metrics_server import served

#: Metric -> (its key in a row of ``metrics.jsonl``, its sentence).
GAUGES = {
    "cgrpo_step": ("step", "The last step that ended."),
    "cgrpo_policy_version": ("policy_version", "Version of the policy after that step."),
    "cgrpo_reward": ("reward", "Mean reward of the step."),
    "cgrpo_reward_std": ("reward_std", "Mean spread of the rewards within a group."),
    "cgrpo_entropy": ("entropy", "Entropy of the policy in nats."),
    "cgrpo_kl": ("kl", "KL from the initial policy in nats."),
    "cgrpo_frac_reward_zero_std": ("frac_reward_zero_std", "Share of groups without signal."),
    "cgrpo_eval_reward": ("eval/reward", "Held-out reward of the policy."),
}
#: The kinds of ``orchestrator.alarms``.
ALARMS = (
    "length",
    "missing",
    "no_difference",
    "one_concept",
    "overfit",
    "score_scale",
    "unmatched",
)
#: Upper bounds in seconds.
COMPLETION_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0)
STEP_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0)


class Exporter:
    """Notes what a run tells, for whoever scrapes it."""

    def __init__(self, inputs: Inputs, rows: Iterable[Mapping[str, Any]]) -> None:
        """``rows``: those of ``metrics.jsonl``: a resumed run shows where it is."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._gauges = {name: self._gauge(name, words) for name, (_, words) in GAUGES.items()}
        for gauge in self._gauges.values():
            # Not known yet, which is not 0.
            gauge.set(float("nan"))
        self._gauges["cgrpo_step"].set(0)
        self._gauge("cgrpo_max_steps", "Steps of the whole run.").set(inputs.steps)
        self._slots = self._gauge("cgrpo_slots_in_flight", "Rollouts that are waited for.")
        self._progress_at = self._gauge(
            "cgrpo_last_progress_timestamp_seconds",
            "When a rollout or a step last ended.",
        )
        self._progress_at.set(time.time())
        self._parts = self._labelled(Gauge, "reward_part", "Mean of a part of the reward.", "part")
        self._rollouts = self._labelled(
            Counter, "rollouts", "Rollouts that ended: scored, or a kind of failure.", "outcome"
        )
        self._alarms = self._labelled(Counter, "alarms", "Alarms.", "kind")
        for kind in ALARMS:
            # A counter that is not there before cannot be seen to rise.
            self._alarms.labels(kind)
        self._completions = Histogram(
            "cgrpo_completion_seconds",
            "Seconds of a completion, first byte to last.",
            buckets=COMPLETION_SECONDS,
            registry=self.registry,
        )
        self._steps = Histogram(
            "cgrpo_step_seconds", "Seconds of a step.", buckets=STEP_SECONDS, registry=self.registry
        )
        self._resubmitted = Counter(
            "cgrpo_groups_resubmitted", "Groups submitted again.", registry=self.registry
        )
        self._last = Progress(0, 0, 0, 0, 0)
        for row in rows:
            self._show(row)

    def progress(self, step: int, purpose: str, progress: Progress) -> None:
        """How far a step or evaluation is."""
        ended, before = progress.scored + progress.failed, self._last.scored + self._last.failed
        self._slots.set(progress.slots - ended)
        if ended != before:
            self._progress_at.set(time.time())
        self._resubmitted.inc(max(0, progress.resubmitted - self._last.resubmitted))
        self._last = progress

    def evaluated(self, evaluation: Evaluation) -> None:
        """The held-out reward."""
        self._show(evaluation_row(evaluation))
        self._ended(evaluation.groups)

    def stepped(self, report: StepReport, groups: tuple[Group, ...]) -> None:
        """The step's numbers and rollouts."""
        self._show(step_row(report))
        self._steps.observe(float(report.metrics.get("step_s") or 0.0))
        self._ended(groups)

    def alarmed(self, alarm: Alarm) -> None:
        """Counted by kind."""
        self._alarms.labels(alarm.kind).inc()

    def _show(self, row: Mapping[str, Any]) -> None:
        if "alarm" in row or row.get("kind") == "plain":
            return
        of_a_step = "reward" in row
        for name, (key, _) in GAUGES.items():
            known = isinstance(row.get(key), int | float)
            if known and (of_a_step or key == "eval/reward"):
                self._gauges[name].set(row[key])
        for key, value in row.items():
            first, _, rest = key.partition("/")
            if first == "rewards" and value is not None:
                self._parts.labels(rest.removesuffix("/mean")).set(value)

    def _ended(self, groups: Iterable[Group]) -> None:
        self._progress_at.set(time.time())
        for group in groups:
            for rollout in group.rollouts:
                failure = rollout.failure
                self._rollouts.labels(failure.kind.value if failure else "scored").inc()
                if rollout.completion is not None:
                    self._completions.observe(rollout.completion.seconds)

    def _gauge(self, name: str, words: str) -> Gauge:
        return Gauge(name, words, registry=self.registry)

    def _labelled(self, kind: type[Any], name: str, words: str, label: str) -> Any:
        return kind(f"cgrpo_{name}", words, [label], registry=self.registry)


@contextmanager
def exporting(
    inputs: Inputs, models: Models, directory: RunDirectory, machine: Engine, port: int
) -> Iterator[tuple[Exporter, str]]:
    """An exporter and the address that it is read at. Raises EnvironmentNotReady."""
    exporter = Exporter(inputs, list(directory.lines("metrics.jsonl")))
    with connect(machine.url) as redis:
        fleet = FleetMetrics(redis, directory.name, models, machine.dispatcher)
        exporter.registry.register(fleet)
        with served(exporter.registry, port) as address:
            yield exporter, address
