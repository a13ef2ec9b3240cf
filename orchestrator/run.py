"""The loop: data -> batch -> draw -> fan out -> gather -> advantages -> ONE update -> store."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from orchestrator import advantages, sampling, update
from orchestrator.alarms import Alarm, Alarms
from orchestrator.budget import saved_ledger, spending
from orchestrator.callbacks import Control
from orchestrator.dispatch import Dispatcher
from orchestrator.evaluation import Evaluation
from orchestrator.heldout import Baselines, HeldOut
from orchestrator.inputs import Inputs
from orchestrator.ledger import Progress
from orchestrator.metrics import step_metrics
from orchestrator.pipeline import Pipeline
from orchestrator.policy_file import policy_document
from orchestrator.preflight import Models
from orchestrator.rollouts import Group, StepReport, UpdateReport, Weights
from orchestrator.run_directory import RunDirectory
from orchestrator.stopping import Stop, Stopping
from orchestrator.store import Store, encode_weights
from orchestrator.trackers import Tracker
from shared.errors import RunFailed


class Run(NamedTuple):
    """Everything that the loop works with."""

    inputs: Inputs
    models: Models
    store: Store
    dispatcher: Dispatcher
    directory: RunDirectory
    trackers: Sequence[Tracker]
    #: What callbacks ask for.
    control: Control


class Outcome(NamedTuple):
    """What a finished run has to show."""

    steps: int
    weights: Weights
    baselines: Baselines
    final: Evaluation | None
    #: What ended training before its last step; None if nothing did.
    stopped: Stop | None
    alarms: tuple[Alarm, ...]


def train(run: Run) -> Outcome:
    """Do every step that is still to be done; steps count from 1.

    A step's rows and its checkpoint are on the disk before its commit: a step that is not
    committed is done again, from what its slots have left, and its rows are written again.

    Raises RunFailed when steps bring no reward or no signal, RunStopped when the budget or a
    person's attention is needed, Fenced when another orchestrator has written,
    EnvironmentNotReady when Redis, the workers or the disk are gone.
    """
    inputs, config = run.inputs, run.inputs.config
    heldout = HeldOut(
        inputs,
        run.models,
        run.dispatcher,
        run.directory,
        run.trackers,
        run.store.refuse_if_lost,
    )
    rows = list(run.directory.lines("metrics.jsonl"))
    stopping = Stopping(config, run.directory.path, rows)
    baselines = heldout.baselines()
    weights, first = run.store.weights(), run.store.next_step()
    evaluations = heldout.so_far(first - 1)
    alarms = Alarms(inputs, rows, evaluations)
    pipeline = Pipeline(inputs, run.models, run.dispatcher, run.directory.name)
    pipeline.resume(weights, first)
    last, stopped, without_signal = first - 1, None, _streak_without_signal(rows)
    for step in range(first, inputs.steps + 1):
        if stopped and not pipeline.ahead():
            break
        started = time.monotonic()
        finished = pipeline.next(weights, step, _observer(run, step, "train"), not stopped)
        _refuse_a_lost_step(step, finished)
        fresh, stale = pipeline.aged(finished, weights)
        scored = advantages.assign(fresh, config.algorithm)
        weights, report = update.step(weights, scored, config.algorithm, inputs.spaces)
        weights = replace(sampling.noted(weights, finished), ahead=pipeline.ahead())
        without_signal = _steps_without_signal(run, report, without_signal)
        reported = (*scored, *stale)
        metrics = _report(run, step, weights, report, reported, time.monotonic() - started)
        _tell(run, alarms.stepped(step, metrics.metrics, reported))
        if evaluation := heldout.between(weights, step):
            evaluations.append(evaluation)
            _tell(run, alarms.evaluated(evaluation))
        ledger = saved_ledger(run.dispatcher.redis, run.directory.name)
        state = {"weights": encode_weights(weights), "ledger": ledger}
        run.directory.checkpoint(step, inputs.steps, state)
        run.store.commit(weights, step, metrics)
        run.dispatcher.close([group.key for group in reported])
        last = step
        if step < inputs.steps and not stopped:
            rewards = [e.reward for e in evaluations]
            stopped = stopping.due(rewards, bool(evaluation), report.kl_step, run.control)
    run.directory.write_json("policy.json", policy_document(inputs, weights))
    if final := heldout.at_the_end(weights, last):
        _tell(run, alarms.evaluated(final))
    return Outcome(last, weights, baselines, final, stopped, tuple(alarms.told))


def _tell(run: Run, alarms: Sequence[Alarm]) -> None:
    for alarm in alarms:
        for tracker in run.trackers:
            tracker.alarmed(alarm)


def _report(
    run: Run,
    step: int,
    weights: Weights,
    report: UpdateReport,
    scored: Sequence[Group],
    seconds: float,
) -> StepReport:
    spent = spending(run.dispatcher.redis, run.directory.name).metrics()
    metrics = StepReport(step, step_metrics(weights, report, scored, spent, seconds))
    run.directory.keep_late(run.dispatcher.take_late())
    for tracker in run.trackers:
        tracker.stepped(metrics, tuple(scored))
    return metrics


def _observer(run: Run, step: int, purpose: str) -> Callable[[Progress], None]:
    def observe(progress: Progress) -> None:
        run.store.refuse_if_lost()
        for tracker in run.trackers:
            tracker.progress(step, purpose, progress)

    return observe


def _streak_without_signal(rows: Sequence[Mapping[str, Any]]) -> int:
    """Steps without signal that the run had when it was interrupted."""
    steps = [row["frac_reward_zero_std"] for row in rows if "frac_reward_zero_std" in row]
    return len(steps) - max((n for n, share in enumerate(steps, 1) if share < 1), default=0)


def _steps_without_signal(run: Run, report: UpdateReport, before: int) -> int:
    """Steps in a row in which no two rewards of a group differed."""
    if report.frac_reward_zero_std < 1:
        return 0
    patience = run.inputs.config.no_signal_patience
    if patience and before + 1 >= patience:
        raise RunFailed(
            f"{patience} steps in a row brought no signal: within every group all rewards were"
            " equal; look at the reward functions, or raise no_signal_patience (0 = never stop)"
        )
    return before + 1


def _refuse_a_lost_step(step: int, finished: Sequence[Group]) -> None:
    """A step without one reward is an outage or a broken setting, and no signal."""
    if any(group.survivors() for group in finished):
        return
    failures = Counter(
        f"{r.failure.kind.value}: {r.failure.message}"
        for group in finished
        for r in group.rollouts
        if r.failure is not None
    )
    reason, count = failures.most_common(1)[0]
    raise RunFailed(
        f"step {step} brought no reward: all {failures.total()} rollouts failed,"
        f" {count} of them with {reason}"
    )
