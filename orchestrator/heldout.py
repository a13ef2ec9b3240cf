"""When the held-out prompts are asked, and what stays of it: each evaluation is paid for once.

The initial policy and the plain prompt at the start, the policy every ``eval_interval`` steps, the
trained policy at the end. What is deployed is the last policy, not the best of the evaluations:
every rollout paid for is in it, and the best of several noisy numbers is mostly luck. The end has
draws of its own, for the steps between may have decided when training stopped.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from orchestrator.dispatch import Dispatcher
from orchestrator.evaluation import Evaluation, Kind, evaluate
from orchestrator.inputs import Inputs
from orchestrator.ledger import Progress
from orchestrator.paired import Comparison, Decision, compare, decide
from orchestrator.preflight import Models
from orchestrator.rollouts import Weights
from orchestrator.run_directory import RunDirectory
from orchestrator.run_plan import has_plain_prompt, initial_weights
from orchestrator.trackers import Tracker


class Baselines(NamedTuple):
    """What the trained policy is compared with; None where it was not evaluated."""

    initial: Evaluation | None
    plain: Evaluation | None


class HeldOut:
    """The held-out prompts of one run. One per run and process."""

    def __init__(
        self,
        inputs: Inputs,
        models: Models,
        dispatcher: Dispatcher,
        directory: RunDirectory,
        trackers: Sequence[Tracker],
        refuse_if_lost: Callable[[], None],
    ) -> None:
        """``refuse_if_lost`` raises when the run is no longer this process's to pay for."""
        self._refuse_if_lost = refuse_if_lost
        self._inputs = inputs
        self._models = models
        self._dispatcher = dispatcher
        self._directory = directory
        self._trackers = trackers

    def baselines(self) -> Baselines:
        """The initial policy, and the prompt without concepts where a model writes."""
        start = initial_weights(self._inputs)
        initial = self._evaluated(start, 0, "initial")
        if not has_plain_prompt(self._inputs):
            return Baselines(initial, None)
        return Baselines(initial, self._evaluated(start, 0, "plain"))

    def between(self, weights: Weights, step: int) -> Evaluation | None:
        """The policy after ``step``, if that is every ``eval_interval`` and not the end."""
        interval = self._inputs.config.eval_interval
        if not interval or step % interval or step == self._inputs.steps:
            return None
        return self._evaluated(weights, step, "interval")

    def at_the_end(self, weights: Weights, step: int) -> Evaluation | None:
        """The trained policy, with draws that nothing was decided by."""
        return self._evaluated(weights, step, "final")

    def so_far(self, last_step: int) -> list[Evaluation]:
        """The kept evaluations of the policy, the initial one first, up to ``last_step``."""
        kept = [self._directory.kept_evaluation("initial", 0)]
        interval = self._inputs.config.eval_interval
        for step in range(interval, last_step + 1, interval) if interval else ():
            kept.append(self._directory.kept_evaluation("interval", step))
        return [evaluation for evaluation in kept if evaluation is not None]

    def _evaluated(self, weights: Weights, step: int, kind: Kind) -> Evaluation | None:
        if not self._inputs.heldout:
            return None
        evaluation = self._directory.kept_evaluation(kind, step)
        if evaluation is None:
            evaluation = evaluate(
                self._inputs,
                self._models,
                weights,
                self._dispatcher,
                self._directory.name,
                step,
                kind,
                self._observer(step),
            )
            for tracker in self._trackers:
                tracker.evaluated(evaluation)
            self._directory.keep_evaluation(evaluation)
            self._dispatcher.close([group.key for group in evaluation.groups])
        return evaluation

    def _observer(self, step: int) -> Callable[[Progress], None]:
        def observe(progress: Progress) -> None:
            self._refuse_if_lost()
            for tracker in self._trackers:
                tracker.progress(step, "eval", progress)

        return observe


class Verdicts(NamedTuple):
    """The trained policy against the initial one and the plain prompt, and measure by measure."""

    initial: Comparison | None
    plain: Comparison | None
    #: Reward part or eval metric -> against the initial policy.
    measures: dict[str, Comparison]
    #: What both together say of the policy; None where nothing was compared with its start.
    decision: Decision | None


def verdicts(baselines: Baselines, final: Evaluation | None) -> Verdicts:
    """The paired comparisons at the end of a run."""
    if final is None:
        return Verdicts(None, None, {}, None)
    initial, plain = baselines
    measures = {}
    for name, before in initial.measures.items() if initial else ():
        found = compare(before, final.measures.get(name, {}))
        if found is not None:
            measures[name] = found
    start = compare(initial.rewards, final.rewards) if initial else None
    prompted = compare(plain.rewards, final.rewards) if plain else None
    return Verdicts(start, prompted, measures, decide(start, prompted, plain is not None))
