"""What is compared: policies that answer the same prompts, each with its own domains and model.

The draws belong to (seed, step 0, example, slot): no training step and no evaluation of a run has
them, and all arms share them, the sampling seeds of the completions included.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from orchestrator import groups
from orchestrator.config import RunConfig
from orchestrator.data import same_text
from orchestrator.data_readers import READERS
from orchestrator.data_sources import PARQUET, STDIN
from orchestrator.inputs import Inputs, prepare
from orchestrator.ledger import GroupJob
from orchestrator.policy_file import policy_document, read_params
from orchestrator.preflight import Models
from orchestrator.questions import Came
from orchestrator.rollouts import DomainWeights, Example, Group, Weights
from orchestrator.run_directory import RunDirectory
from orchestrator.run_plan import initial_weights
from orchestrator.stored_run import newest_weights, stored_config
from orchestrator.text_files import check_regular_file
from shared.errors import UsageError
from shared.messages import ScoreJob

#: How an arm acts: it draws its actions, takes its best one, or asks without concepts.
How = Literal["sampled", "greedy", "plain"]
#: No training step has this number.
STEP = 0
#: What may differ between two ways to ask a model without changing its answers.
NOT_ASKED = (
    *("price", "latency_s", "request_timeout_s", "slot_timeout_s", "max_attempts"),
    *("max_tokens_field", "send_user"),
)


class Arm(NamedTuple):
    """One policy on the prompts."""

    #: Part of the names of its groups.
    name: str
    inputs: Inputs
    models: Models
    weights: Weights
    how: How

    def group(self, example: Example, samples: int) -> Group:
        """The arm's actions for a prompt, which must match one of its domains."""
        domains, batch = self.inputs.heldout_domains, [(example.id, example)]
        if self.how == "plain":
            (group,) = groups.plain(domains, self.weights, batch, STEP, samples)
            return group
        greedy = self.how == "greedy"
        (group,) = groups.draw(
            self.inputs, domains, self.weights, batch, STEP, samples, greedy=greedy
        )
        return group

    def job(self, group: Group, run: str, score: ScoreJob | None = None) -> GroupJob:
        """The group's job under a name that no other arm has; ``score`` replaces the arm's own."""
        (job,) = groups.jobs(self.inputs, self.models, [group], run, purpose="eval")
        name = {"group": self.group_id(group.example)}
        score = job.score if score is None else score
        return GroupJob(
            job.generate.model_copy(update=name), score and score.model_copy(update=name), job.label
        )

    def group_id(self, example: Example) -> str:
        """The group's name in Redis."""
        return f"{self.name}-{example.id}"

    def identity(self) -> dict[str, object]:
        """Everything that an answer of this arm depends on beside the prompt."""
        return {
            "how": self.how,
            "policy": policy_document(self.inputs, self.weights),
            "asked": self.models.generator.model_dump(mode="json", exclude=set(NOT_ASKED)),
        }

    def digest(self) -> str:
        """A short name of the identity."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def data_digest(file: Path) -> str:
    """The data's sum. Raises UsageError if it cannot be read twice."""
    if str(file) == STDIN:
        raise UsageError(
            "--data -: the prompts are read more than once; save them as a .jsonl file"
        )
    check_regular_file(file, (*READERS, PARQUET))
    return hashlib.sha256(file.read_bytes()).hexdigest()


def comparable_inputs(directory: RunDirectory, file: Path, changes: Mapping[str, object]) -> Inputs:
    """A run's inputs with ``file`` as its held-out prompts and a changed config.

    Raises UsageError if the file is no data, or matches none of the run's domains.
    """
    stored = stored_config(directory)
    prices = changes.get("prices", {})
    assert isinstance(prices, dict)
    config = stored.model_copy(
        update={
            "heldout": str(file),
            # Drawn by the policy's own law, whatever training did.
            "duplicate_actions": "keep",
            "max_cost_usd": None,
            **changes,
            "prices": {**stored.prices, **prices},
        }
    )
    inputs = prepare(config)
    if not inputs.heldout:
        raise UsageError(
            f"{file}: none of its prompts matches a domain of {directory.name}"
            f" ({', '.join(inputs.domains)}); give prompts of these domains, or name the domain in"
            " a field 'domain'"
        )
    return inputs


def trained_weights(directory: RunDirectory, inputs: Inputs, file: Path | None = None) -> Weights:
    """The policy of ``file``, or the run's: its ``policy.json``, or its newest checkpoint.

    Raises UsageError if there is none, or it is one for other domains.
    """
    path = directory.path / "policy.json" if file is None else file
    if file is not None or path.exists():
        params = read_params(path, inputs)
        start = initial_weights(inputs).domains
        domains = {n: DomainWeights(params[n], start[n].reference) for n in params}
        return Weights(inputs.steps, domains)
    return newest_weights(directory, inputs)


def trained_texts(directory: RunDirectory) -> frozenset[str]:
    """The prompts that a run was trained on, as ``same_text`` has them."""
    return frozenset(same_text(example.text) for example in prepare(stored_config(directory)).train)


def questions(arms: Iterable[Arm]) -> tuple[Came, ...]:
    """What was asked of the arms' models before."""
    models = {id(arm.models): arm.models for arm in arms}
    return tuple(came for each in models.values() for came in each.came)


def model_name(config: RunConfig) -> str:
    """For people."""
    return config.model or "template engine"
