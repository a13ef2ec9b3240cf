"""A replay as a run of its own: its config, its directory, and what its policy is worth."""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator import policy
from orchestrator.approvals import approve, is_approved
from orchestrator.config import RunConfig
from orchestrator.config_files import flatten, parse_setting, resolve
from orchestrator.inputs import Inputs, prepare
from orchestrator.metrics import step_metrics
from orchestrator.off_policy import Estimate, Target, estimate
from orchestrator.policy_file import policy_document, read_params
from orchestrator.replay import Replayed, cross_fitted, flat, replay, rewarded, targets
from orchestrator.rollouts import Group, StepReport, Weights
from orchestrator.run_directory import RunDirectory
from orchestrator.store import encode_weights
from orchestrator.stored_run import Batch, StoredRun, with_copies
from orchestrator.trackers.files import Files
from shared.errors import GateFailed, UsageError

#: What may differ from the stored run: all else would have changed its rollouts.
MAY_CHANGE = ("reward_funcs", "reward_weights", "algorithm", "name")

REDRAWN = "with duplicate_actions = redraw its actions were not drawn by the policy's own law"


class Replay(NamedTuple):
    """A stored run, trained again."""

    stored: StoredRun
    #: With the changed config.
    inputs: Inputs
    #: With the rewards of that config.
    batches: tuple[Batch, ...]
    steps: tuple[Replayed, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """The batches' groups."""
        return flat(self.batches)

    @property
    def weights(self) -> Weights:
        """The newest."""
        return self.steps[-1].weights if self.steps else self.stored.start


def train_again(stored: StoredRun, settings: Sequence[str]) -> Replay:
    """Every update again under ``key=value`` settings. Raises UsageError for other keys."""
    inputs = prepare(changed_config(stored, settings))
    batches = stored.batches
    if inputs.rewards != stored.inputs.rewards:
        batches = rewarded(batches, inputs.rewards)
    algorithm = inputs.config.algorithm
    steps = tuple(replay(batches, stored.start, algorithm, inputs.spaces))
    if not steps:
        raise UsageError(f"{stored.directory.path}: rollouts.jsonl holds no training rollout")
    return Replay(stored, inputs, batches, steps)


def changed_config(stored: StoredRun, settings: Sequence[str]) -> RunConfig:
    """The stored config with the settings. Raises UsageError for a key that may not change."""
    given = [parse_setting(setting) for setting in settings]
    for key, source, _ in given:
        if key.split(".")[0] not in MAY_CHANGE:
            raise UsageError(
                f"{source}: a replay cannot change {key}: the rollouts are there already; it can"
                f" change {', '.join(MAY_CHANGE[:2])} and algorithm.*"
            )
    keys = {key for key, _, _ in given}
    dropped = {"reward_weights"} if "reward_funcs" in keys else set()
    kept = [
        (key, "config.json", value)
        for key, value in flatten(stored.inputs.config.model_dump(mode="json"))
        # The knobs of one solver are unknown to the other.
        if key not in dropped and not (key.startswith("algorithm.") and "algorithm.solver" in keys)
    ]
    return with_copies(resolve((), [*kept, *given]).config, stored.directory)


def keep(again: Replay) -> RunDirectory:
    """Write the replay as a run directory: policy, metrics, rollouts with their new rewards."""
    config = again.inputs.config
    first = config.name or again.stored.directory.name.partition("--")[0]
    named = config.model_copy(update={"name": f"{first[:33]}-replay"})
    model = config.model.rpartition("/")[2] or "template"
    inputs = prepare(named)
    directory = RunDirectory.create(inputs, model)
    if is_approved(again.stored.directory.path, again.stored.inputs.config):
        approve(directory.path, inputs.config)
    files = Files(directory, inputs.domains)
    for step in again.steps:
        metrics = step_metrics(step.weights, step.report, step.groups, {}, 0.0)
        files.stepped(StepReport(step.step, metrics), step.groups)
    last = again.steps[-1].step
    ledger: dict[str, dict[str, int]] = {"money": {}, "faults": {}}
    state = {"weights": encode_weights(again.weights), "ledger": ledger}
    directory.checkpoint(last, last, state)
    directory.write_json("policy.json", policy_document(inputs, again.weights))
    directory.become_latest()
    return directory


def keep_result(directory: RunDirectory, found: dict[str, Any]) -> None:
    """Write ``run.json``."""
    directory.write_json("run.json", {"orchestrator": version("concept-grpo"), **found})


class Value(NamedTuple):
    """What one policy earns by the stored rollouts."""

    name: str
    estimate: Estimate | None


def values(again: Replay, greedy: bool = False) -> list[Value]:
    """What the initial policy earns, and those of the run's own training and of the replay's.

    Both trainings are judged cross-fitted, under the replay's reward. ``greedy`` judges the best
    action alone, as deployed: the rollouts seldom hold it often enough. Nothing if actions were
    drawn anew: they were not drawn by the policy's own law.
    """
    if again.stored.inputs.config.duplicate_actions == "redraw":
        return []
    start, spaces = again.stored.start, again.inputs.spaces
    own, new = again.stored.inputs.config.algorithm, again.inputs.config.algorithm
    # The run's own training has the rewards of then, and is judged by those of now.
    now = partial(rewarded, terms=again.inputs.rewards)
    ours = again.stored.batches
    return [
        Value("initial policy", estimate(again.groups, targets(start), spaces)),
        Value("trained as it was", cross_fitted(ours, start, own, spaces, greedy, now)),
        Value("trained like this", cross_fitted(again.batches, start, new, spaces, greedy)),
    ]


def value_of(again: Replay, path: Path, greedy: bool = False) -> Value:
    """What the policy of a file earns.

    Raises UsageError for the run's own policy, GateFailed if actions were drawn anew.
    """
    params = read_params(path, again.inputs)
    if again.stored.inputs.config.duplicate_actions == "redraw":
        raise GateFailed(f"{path}: no estimate from the rollouts of"
                         f" {again.stored.directory.name}: {REDRAWN}")  # fmt: skip
    for trained in (again.stored.now, again.weights):
        domains = trained.domains
        if all(np.array_equal(params[n].flat(), domains[n].params.flat()) for n in params):
            raise UsageError(
                f"{path}: this policy was trained on these very rollouts, which would praise it"
                " for its luck; without --policy its training is judged cross-fitted"
            )
    judged = {name: Target(each, greedy) for name, each in params.items()}
    return Value(str(path), estimate(again.groups, judged, again.inputs.spaces))


def best_actions(weights: Weights, inputs: Inputs) -> dict[str, dict[str, Any]]:
    """What the policy asks for, as deployed, by domain."""
    found = {}
    for name, domain in inputs.domains.items():
        best = policy.greedy(weights.domains[name].params, inputs.spaces[name])
        found[name] = {
            "concepts": [domain.concepts[i] for i in best.concepts],
            "template": best.template + 1,
            "features": [domain.features[i] for i in best.features],
        }
    return found
