"""What the orchestrator knows of each group that it asked for: the ledger behind the queue."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import ValidationError

from orchestrator.rollouts import GroupKey
from shared.keys import Role
from shared.messages import Completion, Failure, FailureKind, GenerateJob, Reward, ScoreJob
from shared.results import divided

#: Role and type's name -> what a slot's result may be.
RESULTS: Mapping[tuple[str, str], type[Completion | Reward | Failure]] = {
    ("generate", "Completion"): Completion,
    ("generate", "Failure"): Failure,
    ("score", "Reward"): Reward,
    ("score", "Failure"): Failure,
}


class GroupJob(NamedTuple):
    """What a group needs from the workers, and the label people see in Flower."""

    generate: GenerateJob
    #: None: the completions are wanted, and no rewards.
    score: ScoreJob | None
    label: str

    @property
    def key(self) -> GroupKey:
        return GroupKey(self.generate.step, self.generate.group)


class SlotResult(NamedTuple):
    """How a slot ended: a completion with a reward, or a failure (with the completion, if any)."""

    completion: Completion | None
    reward: Reward | None
    failure: Failure | None


class Progress(NamedTuple):
    """Where a ``collect`` stands."""

    slots: int
    scored: int
    failed: int
    resubmitted: int
    workers: int
    #: A signal came: no new calls, those in flight may end.
    draining: bool = False


@dataclass
class OpenGroup:
    """One group on its way. Made and changed by ``dispatch`` alone."""

    job: GroupJob
    #: When it is cut off, in the time of ``time.monotonic``.
    deadline: float = math.inf
    role: Role = "generate"
    attempt: int = 1
    #: It was seen in a worker's hands since it was last submitted.
    leased: bool = False
    #: Ticks in a row in nobody's hands and no queue, and ticks since it was submitted unseen.
    bare_ticks: int = 0
    unseen_ticks: int = 0
    generated: dict[int, Completion | Failure] = field(default_factory=dict)
    scored: dict[int, Reward | Failure] = field(default_factory=dict)
    #: How many of them are rewards, and how many of both are failures.
    rewards: int = 0
    failures: int = 0

    @property
    def key(self) -> GroupKey:
        return self.job.key

    def slots(self) -> list[int]:
        return [prompt.slot for prompt in self.job.generate.prompts]

    def to_score(self) -> set[int]:
        if self.job.score is None:
            return set()
        return {slot for slot, found in self.generated.items() if isinstance(found, Completion)}

    def generation_done(self) -> bool:
        return len(self.generated) == len(self.job.generate.prompts)

    def is_judged(self) -> bool:
        """Whether a judge has scored one of its texts; an empty one has a score without a call."""
        return any(
            isinstance(found, Reward)
            and found.judged
            and isinstance(made := self.generated.get(slot), Completion)
            and made.text.strip()
            for slot, found in self.scored.items()
        )

    def unread(self) -> list[Failure]:
        """The texts of whose judges one gave no score that could be read."""
        return [
            found
            for found in self.scored.values()
            if isinstance(found, Failure) and found.kind is FailureKind.NO_SCORE
        ]

    def done(self) -> bool:
        return self.generation_done() and self.to_score() <= set(self.scored)

    def take(self, field_name: str, value: str) -> None:
        """Note a slot's result. Raises ValueError for one that no worker of this version wrote."""
        role, _, slot = field_name.partition(":")
        if role.startswith("judge"):
            return
        try:
            kind, payload = divided(value)
            found = RESULTS[role, kind].model_validate_json(payload)
            kept = self.generated if role == "generate" else self.scored
            if int(slot) not in kept:
                self.rewards += kind == "Reward"
                self.failures += kind == "Failure"
            kept[int(slot)] = found  # type: ignore[assignment]
        except ValidationError as error:
            # Names of fields only: their values are private.
            wrong = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
            what = f"has a wrong {wrong}" if wrong else "is no JSON object"
            raise ValueError(f"{field_name} {what}") from None
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{field_name} is no result ({type(error).__name__})") from None

    def results(self) -> dict[int, SlotResult]:
        late = "the step's deadline passed"
        ended: dict[int, SlotResult] = {}
        for slot in self.slots():
            made, judged = self.generated.get(slot), self.scored.get(slot)
            completion = made if isinstance(made, Completion) else None
            failure = next((f for f in (made, judged) if isinstance(f, Failure)), None)
            reward = judged if isinstance(judged, Reward) else None
            wanted = completion if self.job.score is None else reward
            if wanted is None and failure is None:
                failure = Failure(slot=slot, kind=FailureKind.DEADLINE, message=late)
            ended[slot] = SlotResult(completion, reward, failure)
        return ended
