"""``metrics.jsonl``, ``rollouts.jsonl`` and ``policies.jsonl`` in the run directory."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.alarms import Alarm
from orchestrator.domains import Domain
from orchestrator.evaluation import Evaluation
from orchestrator.ledger import Progress
from orchestrator.rollouts import PLAIN, Group, Rollout, StepReport
from orchestrator.run_directory import RunDirectory
from orchestrator.store import encode_params
from orchestrator.trackers.rows import evaluation_row, step_row


class Files:
    """Writes one line per step and evaluation, and one per rollout, failures included.

    ``policies.jsonl`` holds the params that acted, once per version and domain: with them the
    score and the probability of every stored rollout are exact, whatever the solver was.
    """

    def __init__(self, directory: RunDirectory, domains: Mapping[str, Domain]) -> None:
        self._directory = directory
        self._domains = domains
        #: (policy version, domain) of the acted params that are written.
        self._acted: set[tuple[int, str]] = set()

    def progress(self, step: int, purpose: str, progress: Progress) -> None:
        """Nothing: files hold what has ended."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """One line of metrics and the rollouts of an evaluation."""
        rows = self._rows(evaluation.groups, "eval")
        kind = {"kind": evaluation.kind}
        self._directory.append_lines("rollouts.jsonl", (row | kind for row in rows))
        self._directory.append_lines("metrics.jsonl", [evaluation_row(evaluation)])

    def stepped(self, report: StepReport, groups: tuple[Group, ...]) -> None:
        """One line of metrics and the rollouts of a step."""
        self._directory.append_lines("policies.jsonl", self._acted_rows(report.step, groups))
        rows = self._rows(groups, "train")
        update = {"update": report.step}
        self._directory.append_lines("rollouts.jsonl", (row | update for row in rows))
        self._directory.append_lines("metrics.jsonl", [step_row(report)])

    def alarmed(self, alarm: Alarm) -> None:
        """One line of metrics."""
        row = {"step": alarm.step, "alarm": alarm.kind, "words": alarm.words}
        self._directory.append_lines("metrics.jsonl", [row])

    def _acted_rows(self, step: int, groups: tuple[Group, ...]) -> Iterator[dict[str, Any]]:
        for group in groups:
            key = group.policy_version, group.domain
            if key not in self._acted:
                self._acted.add(key)
                yield {
                    "step": step,
                    "policy_version": group.policy_version,
                    "domain": group.domain,
                    "params": encode_params(group.acted),
                }

    def _rows(self, groups: tuple[Group, ...], purpose: str) -> Iterator[dict[str, Any]]:
        for group in groups:
            for rollout in group.rollouts:
                yield self._row(group, rollout, purpose)

    def _row(self, group: Group, rollout: Rollout, purpose: str) -> dict[str, Any]:
        domain, action = self._domains[group.domain], rollout.action
        completion, reward, failure = rollout.completion, rollout.reward, rollout.failure
        return {
            "purpose": purpose,
            "step": group.step,
            "group": group.id,
            "slot": rollout.slot,
            "example": group.example.id,
            "domain": group.domain,
            "policy_version": group.policy_version,
            "prompt": group.example.text,
            "concepts": [domain.concepts[i] for i in action.concepts],
            "template": None if action == PLAIN else action.template,
            "features": [domain.features[i] for i in action.features],
            "log_prob": rollout.log_prob,
            "completion": completion and completion.model_dump(exclude={"slot"}),
            "reward": reward and reward.value,
            "parts": reward and reward.parts,
            "feedback": reward and reward.feedback,
            "judged": list(reward.judged) if reward else [],
            "rejudged": list(reward.rejudged) if reward else [],
            "asked_again": reward.asked_again if reward else 0,
            "advantage": rollout.advantage,
            "failure": failure and failure.model_dump(exclude={"slot"}, mode="json"),
        }
