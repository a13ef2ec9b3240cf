"""A run read back from its directory: config, inputs, weights, and every training rollout.

The params that acted come from ``policies.jsonl`` and read back to the last bit, so that scores
and probabilities are those of the moment of acting; that is checked against the stored ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from orchestrator import policy
from orchestrator.config import RunConfig, config_of_run
from orchestrator.inputs import Inputs, prepare
from orchestrator.policy_file import policy_document
from orchestrator.rollouts import Action, Example, Group, Params, Rollout, Weights
from orchestrator.run_directory import RunDirectory
from orchestrator.run_plan import initial_weights
from orchestrator.space import Space
from orchestrator.store import decode_params, decode_weights
from shared.errors import UsageError
from shared.messages import Completion, Failure, Reward

Row = Mapping[str, Any]
Acted = Mapping[tuple[int, str], Params]
#: Largest difference between a stored log-probability and the same computed again.
ROUNDING = 1e-9


class Batch(NamedTuple):
    """The groups that one update used, whichever step they were drawn in."""

    update: int
    groups: tuple[Group, ...]


class StoredRun(NamedTuple):
    """A run as its directory has it."""

    directory: RunDirectory
    inputs: Inputs
    batches: tuple[Batch, ...]
    start: Weights
    #: After the newest step.
    now: Weights

    @property
    def groups(self) -> tuple[Group, ...]:
        """Every training group that an update used, in order."""
        return tuple(group for batch in self.batches for group in batch.groups)


def stored_config(directory: RunDirectory) -> RunConfig:
    """The config of a run, with its own copies of the files it read. Raises UsageError."""
    try:
        return with_copies(config_of_run(directory.read_json("config.json")), directory)
    except ValidationError as error:
        raise _not_a_run(directory, error) from None


def with_copies(config: RunConfig, directory: RunDirectory) -> RunConfig:
    """The config with the files that a run has kept, in the place of those it names."""
    try:
        kept = directory.read_json("inputs.json")
        copies = {role: str(directory.path / entry["copy"]) for role, entry in kept.items()}
        _ = copies["train"]
    except (LookupError, TypeError, AttributeError) as error:
        raise _not_a_run(directory, error) from None
    return config.model_copy(
        update={
            "data": copies["train"],
            "heldout": copies.get("heldout", ""),
            "domains": tuple(
                copies.get(f"domain-{number}", ref) for number, ref in enumerate(config.domains)
            ),
            "rubric": copies.get("rubric", ""),
            "runs_dir": str(directory.path.parent),
            # Runs from before this knob left out what said no word of a single domain, too.
            "match": config.match if "match" in config.model_fields_set else "words",
        }
    )


def _not_a_run(directory: RunDirectory, error: Exception) -> UsageError:
    return UsageError(
        f"{directory.path}: config.json or inputs.json is not what a run wrote"
        f" ({type(error).__name__}); the run cannot go on, start a new one with its data"
    )


def stored_run(directory: RunDirectory, newest_bytes: int | None = None) -> StoredRun:
    """Read a run back, or only the newest bytes of its rollouts.

    Raises UsageError if a step is missing or a file is not what a run wrote.
    """
    inputs = prepare(stored_config(directory))
    newest = newest_weights(directory, inputs)
    batches = stored_batches(directory, inputs, newest_bytes)
    return StoredRun(directory, inputs, batches, initial_weights(inputs), newest)


def unfinished_policy(folder: Path) -> dict[str, Any]:
    """``policy.json`` of a run that was interrupted, after its last step.

    Raises UsageError if no step has been finished.
    """
    directory = RunDirectory(folder)
    inputs = prepare(stored_config(directory))
    return policy_document(inputs, newest_weights(directory, inputs))


def newest_weights(directory: RunDirectory, inputs: Inputs) -> Weights:
    """The weights of the newest checkpoint.

    Raises UsageError if no step has been finished, or the checkpoint is one for other domains.
    """
    newest = directory.newest_checkpoint()
    if newest is None:
        raise UsageError(f"{directory.path}: no step has been finished, there is nothing to read")
    weights = decode_weights(newest[1]["weights"])
    refuse_unfit(weights, inputs, f"{directory.path}: checkpoint {newest[0]}")
    return weights


def refuse_unfit(weights: Weights, inputs: Inputs, where: str) -> None:
    """Raises UsageError unless every domain of the run has params of its size."""
    for name, space in inputs.spaces.items():
        found = weights.domains.get(name)
        if not found or not (_fits(found.params, space) and _fits(found.reference, space)):
            raise UsageError(
                f"{where} does not fit the run's domain {name!r}; it is read only as the run wrote"
                " it"
            )


def _fits(params: Params, space: Space) -> bool:
    sizes = len(params.theta), len(params.phi), len(params.eta)
    return sizes == (space.n, space.T, space.m)


def stored_batches(
    directory: RunDirectory, inputs: Inputs, newest_bytes: int | None = None
) -> tuple[Batch, ...]:
    """What each update of a run used, or the whole updates among the newest bytes of its rollouts.

    Raises UsageError for rows that do not fit together.
    """
    try:
        acted = {
            (int(row["policy_version"]), str(row["domain"])): decode_params(row["params"])
            for row in directory.lines("policies.jsonl")
        }
        for (version, name), params in acted.items():
            if not _fits(params, inputs.spaces[name]):
                raise ValueError(f"version {version} is none of the domain {name!r}")
        batches = tuple(_batches(directory, inputs, acted, newest_bytes))
        _check([group for batch in batches for group in batch.groups], inputs)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UsageError(
            f"{directory.path}: rollouts.jsonl and policies.jsonl do not fit together"
            f" ({type(error).__name__}: {error}); they are read only as the run wrote them"
        ) from None
    return batches


def _batches(
    directory: RunDirectory, inputs: Inputs, acted: Acted, newest_bytes: int | None
) -> Iterator[Batch]:
    rows: dict[int, dict[tuple[int, str], dict[int, Row]]] = {}
    for row in directory.lines("rollouts.jsonl", newest_bytes):
        # What came too late for the update was kept, and not used.
        late = row["purpose"] == "train" and (
            row["update"] - 1 - row["policy_version"] > inputs.config.max_staleness
        )
        if row["purpose"] == "train" and not late:
            groups = rows.setdefault(row["update"], {})
            groups.setdefault((row["step"], row["group"]), {})[row["slot"]] = row
    file = directory.path / "rollouts.jsonl"
    if newest_bytes is not None and file.exists() and file.stat().st_size > newest_bytes:
        # The update in which the bytes begin is not whole.
        rows.pop(min(rows, default=0), None)
    domains = inputs.domains.items()
    places = {name: _Places(domain.concepts, domain.features) for name, domain in domains}
    for update, groups in rows.items():
        yield Batch(update, tuple(_group(slots, places, acted) for slots in groups.values()))


def _group(slots: Mapping[int, Row], places: Mapping[str, "_Places"], acted: Acted) -> Group:
    first = next(iter(slots.values()))
    domain, version = first["domain"], first["policy_version"]
    return Group(
        id=first["group"],
        step=first["step"],
        example=Example(first["example"], first["prompt"]),
        domain=domain,
        policy_version=version,
        acted=acted[version, domain],
        rollouts=tuple(_rollout(slots[slot], places[domain]) for slot in sorted(slots)),
    )


class _Places:
    """Names of one domain -> indices."""

    def __init__(self, concepts: Sequence[str], features: Sequence[str]) -> None:
        self._concepts = {name: at for at, name in enumerate(concepts)}
        self._features = {name: at for at, name in enumerate(features)}

    def action(self, row: Row) -> Action:
        concepts = sorted(self._concepts[name] for name in row["concepts"])
        features = sorted(self._features[name] for name in row["features"])
        return Action(tuple(concepts), row["template"], tuple(features))


def _rollout(row: Row, places: _Places) -> Rollout:
    slot, completion, failure = row["slot"], row["completion"], row["failure"]
    reward = None
    if row["reward"] is not None:
        reward = Reward(
            slot=slot,
            value=row["reward"],
            parts=row["parts"],
            feedback=row["feedback"],
            judged=row["judged"],
            rejudged=row["rejudged"],
            asked_again=row["asked_again"],
        )
    return Rollout(
        slot=slot,
        action=places.action(row),
        log_prob=row["log_prob"],
        completion=completion and Completion(slot=slot, **completion),
        reward=reward,
        failure=failure and Failure(slot=slot, **failure),
        advantage=row["advantage"],
    )


def _check(groups: Sequence[Group], inputs: Inputs) -> None:
    for group in groups:
        actions = [rollout.action for rollout in group.rollouts]
        again_G = policy.log_prob(group.acted, inputs.spaces[group.domain], actions)
        stored_G = np.array([rollout.log_prob for rollout in group.rollouts])
        if not np.allclose(again_G, stored_G, rtol=0, atol=ROUNDING):
            raise ValueError(f"group {group.id!r} of step {group.step} was acted by other params")
