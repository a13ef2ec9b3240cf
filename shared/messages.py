"""What travels between the orchestrator and the workers: frozen, strict, JSON.

The orchestrator makes the jobs, a worker reads them; a worker makes completions, rewards and
failures, the orchestrator reads them. A Celery task carries only ids; the messages lie in Redis.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Message(BaseModel):
    """Base of everything that crosses a process border."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ChatMessage(Message):
    """One chat turn. Made by ``orchestrator.prompts``, read by the providers."""

    role: Literal["system", "user", "assistant"]
    content: str


class SlotPrompt(Message):
    """The prompt of one slot. Made by ``orchestrator.prompts``, read by the providers."""

    slot: int
    messages: tuple[ChatMessage, ...]
    #: The template filled with the chosen concepts and features: what the template engine answers.
    draft: str
    #: Sampling seed, unique for (run seed, step, group, slot).
    seed: int


class Sampling(Message):
    """How completions are sampled. Made from the run's config, read by the providers."""

    provider: Literal["template"] = "template"
    #: Time in seconds that the template engine waits before it answers; 0 answers at once.
    latency_s: float = 0.0


class GenerateJob(Message):
    """One prompt times G slots to generate. Made by ``dispatch``, read by ``worker.tasks``."""

    run: str
    step: int
    group: str
    prompts: tuple[SlotPrompt, ...]
    sampling: Sampling


class RewardTerm(Message):
    """One part of the reward: a built-in name or ``module:function``, its weight and options."""

    name: str
    #: Share in the weighted mean; 0 = computed and reported, but not part of the reward.
    weight: Annotated[float, Field(ge=0)]
    options: dict[str, Any] = Field(default_factory=dict)


class ScoreJob(Message):
    """What a group's rewards need beside completions. Made by ``dispatch``, read by a worker."""

    run: str
    step: int
    group: str
    prompt: str
    reference: str | None
    #: The domain's own words: concepts, features, name and aliases.
    terms: tuple[str, ...]
    #: The extra columns of the data line, by name, for custom rewards.
    extra: dict[str, Any]
    rewards: tuple[RewardTerm, ...]


class Completion(Message):
    """A provider's answer for one slot. Made by a worker, read by ``dispatch`` and the rewards."""

    slot: int
    text: str
    #: The generator's own estimate of its quality in [0, 1]; None if it gave none.
    quality: float | None = None
    model: str
    provider: str
    finish_reason: str | None = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    #: None is unknown, never free.
    cost_usd: float | None = 0.0
    seconds: float = 0.0
    attempts: int = 1


class Reward(Message):
    """The score of one completion. Made by a worker, read by ``dispatch``."""

    slot: int
    #: Weighted mean of the parts, in [0, 1].
    value: float
    parts: dict[str, float]
    #: The parts in words: "Length: 0.73, Vocabulary: 0.91, ...".
    feedback: str


class FailureKind(StrEnum):
    """Why a slot has no completion or no reward. Infrastructure failures are missing, never 0."""

    #: The deadline of the step passed before the slot ended.
    DEADLINE = "deadline"
    #: A reward function raised, or returned something that is not a number in [0, 1].
    REWARD_ERROR = "reward_error"
    #: The worker met a fault of its own.
    WORKER_ERROR = "worker_error"


class Failure(Message):
    """A slot that ended without a completion or reward. Made by a worker and by ``dispatch``."""

    slot: int
    kind: FailureKind
    #: What happened and what to do, free of secrets.
    message: str
    attempts: int = 1
    cost_usd: float | None = 0.0


class WorkerCard(Message):
    """What a live worker says of itself, kept under a key that expires. Read by the preflight."""

    name: str
    version: str
    pid: int
    #: Groups at a time.
    groups: int
    queues: tuple[str, ...]
