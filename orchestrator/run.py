"""The loop: data -> batch -> draw -> fan out -> gather -> advantages -> ONE update -> store."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from orchestrator import advantages, data, groups, update
from orchestrator.budget import spending
from orchestrator.dispatch import Dispatcher
from orchestrator.evaluation import Comparison, Evaluation, compare, evaluate
from orchestrator.inputs import Inputs
from orchestrator.ledger import Progress
from orchestrator.metrics import step_metrics
from orchestrator.policy_file import policy_document
from orchestrator.preflight import Models
from orchestrator.rollouts import Group, StepReport, Weights
from orchestrator.run_directory import RunDirectory
from orchestrator.run_plan import initial_weights
from orchestrator.store import Store, encode_weights
from orchestrator.trackers import Tracker
from shared.errors import RunFailed

#: Steps between two whole states in the run directory, beside the last one.
CHECKPOINT_INTERVAL = 5


class Outcome(NamedTuple):
    """What a finished run has to show."""

    steps: int
    weights: Weights
    before: Evaluation | None
    after: Evaluation | None
    comparison: Comparison | None


def train(
    inputs: Inputs,
    models: Models,
    store: Store,
    dispatcher: Dispatcher,
    directory: RunDirectory,
    trackers: Sequence[Tracker],
) -> Outcome:
    """Run every step that is still to be done. The steps count from 1.

    Raises RunFailed when a whole step brings no reward at all, RunStopped when the budget or a
    person's attention is needed, Fenced when another orchestrator has written,
    EnvironmentNotReady when Redis or the workers are gone.
    """
    config, run = inputs.config, directory.name
    held_out = partial(_evaluate, inputs, models, dispatcher, run, trackers)
    before = directory.starting_evaluation()
    if before is None:
        before = held_out(initial_weights(inputs), 0, greedy=False)
        directory.keep_starting_evaluation(before)
    weights = store.weights()
    for step in range(store.next_step(), inputs.steps + 1):
        started = time.monotonic()
        batch = data.batch(inputs.train, step - 1, config.batch_size, config.seed)
        drawn = groups.draw(inputs, inputs.train_domains, weights, batch, step, config.group_size)
        results = dispatcher.collect(
            groups.jobs(inputs, models, drawn, run),
            config.step_deadline_s,
            _observer(trackers, step, "train"),
        )
        finished = groups.finish(drawn, results)
        _refuse_a_lost_step(step, finished)
        scored = advantages.assign(finished, config.algorithm)
        weights, report = update.step(weights, scored, config.algorithm, inputs.spaces)
        spent = spending(dispatcher.redis, run).metrics()
        seconds = time.monotonic() - started
        metrics = StepReport(step, step_metrics(weights, report, scored, spent, seconds))
        store.commit(weights, step, metrics)
        dispatcher.close(step, [group.id for group in scored])
        for tracker in trackers:
            tracker.stepped(metrics, scored)
        if step % CHECKPOINT_INTERVAL == 0 or step == inputs.steps:
            directory.checkpoint(step, encode_weights(weights))
        if config.eval_interval and step % config.eval_interval == 0 and step < inputs.steps:
            held_out(weights, step, greedy=True)
    after = held_out(weights, inputs.steps, greedy=True)
    directory.write_json("policy.json", policy_document(inputs, weights))
    comparison = compare(before, after, config.seed) if before and after else None
    return Outcome(inputs.steps, weights, before, after, comparison)


def _evaluate(
    inputs: Inputs,
    models: Models,
    dispatcher: Dispatcher,
    run: str,
    trackers: Sequence[Tracker],
    weights: Weights,
    step: int,
    greedy: bool,
) -> Evaluation | None:
    if not inputs.heldout:
        return None
    observe = _observer(trackers, step, "eval")
    evaluation = evaluate(inputs, models, weights, dispatcher, run, step, greedy, observe)
    for tracker in trackers:
        tracker.evaluated(evaluation)
    return evaluation


def _observer(trackers: Sequence[Tracker], step: int, purpose: str) -> Callable[[Progress], None]:
    def observe(progress: Progress) -> None:
        for tracker in trackers:
            tracker.progress(step, purpose, progress)

    return observe


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
