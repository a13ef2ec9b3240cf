"""The loop: data -> batch -> draw -> fan out -> gather -> advantages -> ONE update -> store."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from orchestrator import advantages, data, groups, policy, update
from orchestrator.dispatch import Dispatcher
from orchestrator.evaluation import Comparison, Evaluation, compare, evaluate
from orchestrator.inputs import Inputs
from orchestrator.ledger import Progress
from orchestrator.policy_file import policy_document
from orchestrator.rollouts import DomainWeights, Group, StepReport, UpdateReport, Weights
from orchestrator.run_directory import RunDirectory
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


def initial_weights(inputs: Inputs) -> Weights:
    """Version 0: uniform, or the domains' own starting weights."""
    domains = {}
    for name, space in inputs.spaces.items():
        params = policy.initial_params(space, inputs.domains[name].weights)
        domains[name] = DomainWeights(params, reference=params)
    return Weights(0, domains)


def train(
    inputs: Inputs,
    store: Store,
    dispatcher: Dispatcher,
    directory: RunDirectory,
    trackers: Sequence[Tracker],
) -> Outcome:
    """Run every step that is still to be done. The steps count from 1.

    Raises RunFailed when a whole step brings no reward at all, Fenced when another orchestrator
    has written, EnvironmentNotReady when Redis or the workers are gone.
    """
    config, run = inputs.config, directory.name
    held_out = partial(_evaluate, inputs, dispatcher, run, trackers)
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
            groups.jobs(inputs, drawn, run),
            config.step_deadline_s,
            _observer(trackers, step, "train"),
        )
        finished = groups.finish(drawn, results)
        _refuse_a_lost_step(step, finished)
        scored = advantages.assign(finished, config.algorithm)
        weights, report = update.step(weights, scored, config.algorithm, inputs.spaces)
        metrics = StepReport(
            step, step_metrics(weights, report, scored, time.monotonic() - started)
        )
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


def step_metrics(
    weights: Weights, report: UpdateReport, scored: Sequence[Group], seconds: float
) -> dict[str, float | int | None]:
    """One step's metrics under the field's names."""
    rollouts = [rollout for group in scored for rollout in group.rollouts]
    rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
    values = np.array([reward.value for reward in rewards])
    spreads = [group.rewards().std() for group in scored if len(group.survivors()) > 1]
    costs = [r.completion.cost_usd for r in rollouts if r.completion is not None]
    times = [r.completion.seconds for r in rollouts if r.completion is not None]
    failures = Counter(r.failure.kind.value for r in rollouts if r.failure is not None)
    return {
        "policy_version": weights.version,
        "reward": float(values.mean()),
        "reward_std": float(np.mean(spreads)) if spreads else 0.0,
        **{
            f"rewards/{name}/mean": float(np.mean([reward.parts[name] for reward in rewards]))
            for name in rewards[0].parts
        },
        "rollouts": len(rollouts),
        "rollouts_used": report.rollouts_used,
        "groups_dropped": report.groups_dropped,
        "frac_reward_zero_std": report.frac_reward_zero_std,
        "entropy": report.entropy,
        "kl": report.kl,
        "kl_step": report.kl_step,
        "clip_ratio": report.clip_ratio,
        "learning_rate": report.learning_rate,
        "temperature": report.temperature,
        "failed": sum(failures.values()),
        **{f"failed/{kind}": count for kind, count in sorted(failures.items())},
        "cost/generate": float(sum(cost or 0.0 for cost in costs)),
        "cost/unknown": sum(cost is None for cost in costs),
        "completion_s/p50": float(np.median(times)),
        "completion_s/p95": float(np.quantile(times, 0.95)),
        "step_s": seconds,
    }


def _evaluate(
    inputs: Inputs,
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
    evaluation = evaluate(inputs, weights, dispatcher, run, step, greedy, observe)
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
