"""``evaluations/NAME`` in a run directory: what was asked, every answer as it comes, the result.

The name follows from what is asked, so that the same command finds its answers again: an answer
that was paid for is asked for once.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from orchestrator.ledger import RESULTS, GroupJob, SlotResult
from orchestrator.rollouts import Example
from orchestrator.run_directory import ENGINE_STATE, RunDirectory
from shared.errors import EnvironmentNotReady, UsageError
from shared.messages import Completion, Reward

ROWS, LATE = "rows.jsonl", "late.jsonl"
LEDGER, RESULT, ASKED = "ledger.json", "result.json", "asked.json"
#: Hexadecimal digits of a name.
DIGITS = 10


class Answer(NamedTuple):
    """What is kept of one slot."""

    completion: Completion | None
    reward: Reward | None


class Folder:
    """One evaluation on disk. One per process, which holds its lock while it asks."""

    def __init__(
        self, run: RunDirectory, kind: str, data: Path, identity: Mapping[str, Any]
    ) -> None:
        """``kind``: eval or ab. ``identity``: everything that the answers depend on."""
        text = json.dumps({"run": run.name, **identity}, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
        stem = "".join(c if c.isalnum() and c.isascii() else "-" for c in data.stem)[:40]
        self.name = f"{kind}-{stem.strip('-') or 'data'}-{digest}"
        #: The name in Redis and on the wire: it says nothing of the runs.
        self.run = f"{kind}-{digest}"
        self.path = run.path / "evaluations" / self.name
        self.state = engine_state_of(self.path)
        self._files = RunDirectory(self.path)
        self._answers: dict[tuple[str, int], Answer] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the answers, which another process may have added to."""
        for row in self._files.lines(ROWS):
            self._take(row)
        for entry in self._files.lines(LATE):
            self._take_late(entry)

    def begin(self, asked: Mapping[str, Any]) -> Path:
        """Make the folder; returns the one for the engine's logs.

        Raises EnvironmentNotReady where nothing can be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._files.write_json(ASKED, asked)
            return self._files.attempt_logs()
        except OSError as error:
            if isinstance(error, EnvironmentNotReady):
                raise
            raise EnvironmentNotReady(
                f"cannot write below {self.path}: {error.strerror or error}"
            ) from None

    def discard_if_empty(self) -> None:
        """Remove a folder in which nothing was answered, and its engine's state."""
        if not (self.path / ROWS).exists():
            shutil.rmtree(self.path, ignore_errors=True)
            self.forget_engine()
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()

    def forget_engine(self) -> None:
        """Remove the state of the embedded server: everything it knew is here."""
        shutil.rmtree(self.state, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.state.parent.rmdir()

    def answer(self, group: str, slot: int) -> Answer:
        """What is kept of a slot."""
        return self._answers.get((group, slot), Answer(None, None))

    def missing(self, job: GroupJob) -> list[int]:
        """The slots of a job that have not all that it asks for."""
        found = {p.slot: self.answer(job.key.group, p.slot) for p in job.generate.prompts}
        return [
            slot
            for slot, kept in found.items()
            if (kept.completion if job.score is None else kept.reward) is None
        ]

    def keep(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep rows of slots, on the disk when this returns."""
        rows = list(rows)
        self._files.append_lines(ROWS, rows)
        for row in rows:
            self._take(row)

    def keep_late(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Keep results that came after their group had been closed: they are paid for, too."""
        if late := list(results):
            self._files.append_lines(LATE, late)
            for entry in late:
                self._take_late(entry)

    def ledger(self) -> dict[str, Any]:
        """What the answers have cost so far, as ``budget.saved_ledger`` has it; {} before any.

        Raises UsageError if it cannot be read.
        """
        if not (self.path / LEDGER).exists():
            return {}
        found = self._files.read_json(LEDGER)
        fields = found if isinstance(found, dict) else {"money": None}
        counted = [fields.get(name, {}) for name in ("money", "faults")]
        if not all(
            isinstance(c, dict) and all(type(n) is int for n in c.values()) for c in counted
        ):
            raise UsageError(
                f"{self.path / LEDGER} is no ledger; remove it: what was spent until now is then"
                " not counted"
            )
        return fields

    def keep_ledger(self, ledger: Mapping[str, Any]) -> None:
        """Replace the ledger."""
        self._files.write_json(LEDGER, ledger)

    def keep_result(self, result: Mapping[str, Any]) -> None:
        """Replace the result."""
        self._files.write_json(RESULT, result)

    def _take(self, row: Any) -> None:
        """Note a row; one that nobody of this version wrote counts for nothing."""
        with contextlib.suppress(LookupError, TypeError, ValidationError, AttributeError):
            completion, reward = row["completion"], row["reward"]
            slot = int(row["slot"])
            kept = Answer(
                completion and Completion(slot=slot, **completion),
                reward and Reward(slot=slot, **reward),
            )
            if kept.completion is not None:
                self._answers[str(row["group"]), slot] = kept

    def _take_late(self, entry: Any) -> None:
        """Fill what a slot lacks with a result that came late."""
        with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):
            role, _, number = entry["field"].partition(":")
            kind, payload = json.loads(entry["result"])
            found = RESULTS[role, kind].model_validate(payload)
            slot = str(entry["group"]), int(number)
            completion, reward = self.answer(*slot)
            if isinstance(found, Completion):
                self._answers[slot] = Answer(completion or found, reward)
            elif isinstance(found, Reward) and completion is not None:
                self._answers[slot] = Answer(completion, reward or found)


def engine_state_of(evaluation: Path) -> Path:
    """Where the embedded server of an evaluation's folder keeps its state."""
    kind, _, rest = evaluation.name.partition("-")
    return evaluation.parents[2] / ENGINE_STATE / f"{kind}-{rest[-DIGITS:]}"


def slot_rows(
    job: GroupJob, arm: str, example: Example, results: Mapping[int, SlotResult]
) -> Iterator[dict[str, Any]]:
    """A row per slot of an ended group."""
    for slot, (completion, reward, failure) in results.items():
        yield {
            "arm": arm,
            "example": example.id,
            "prompt": example.text,
            "group": job.key.group,
            "slot": slot,
            "completion": completion and completion.model_dump(exclude={"slot"}, mode="json"),
            "reward": reward and reward.model_dump(exclude={"slot"}, mode="json"),
            "failure": failure and failure.model_dump(exclude={"slot"}, mode="json"),
        }
