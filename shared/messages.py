"""What travels between the orchestrator and the workers: frozen, strict, JSON.

The orchestrator makes the jobs, a worker reads them; a worker makes completions, rewards and
failures, the orchestrator reads them. A Celery task carries only ids; the messages lie in Redis.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: A good answer, or several of which any is right.
Reference = str | tuple[str, ...]


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


class Price(Message):
    """What a model costs, in USD per token and per request. Made by the preflight."""

    prompt_usd: Annotated[float, Field(ge=0)]
    completion_usd: Annotated[float, Field(ge=0)]
    request_usd: Annotated[float, Field(ge=0)] = 0.0


class Sampling(Message):
    """How one model is asked. Made from the run's config and the preflight, read by the workers."""

    provider: Literal["template", "openrouter"] = "template"
    #: Time in seconds that the template engine waits before it answers; 0 answers at once.
    latency_s: float = 0.0
    model: str = "template"
    #: What the endpoint understands: OpenRouter's own fields, or only those of the OpenAI API.
    dialect: Literal["openrouter", "openai"] = "openrouter"
    #: Tokens that an answer may have; always sent, under this name.
    max_tokens: int = 400
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    #: Whether the model takes a system message; else its text opens the user's.
    system_role: bool = True
    #: Whether an OpenAI API is sent the rollout's name as ``user``.
    send_user: bool = True
    #: Sent only where the model supports them; None = the provider's default.
    temperature: float | None = None
    top_p: float | None = None
    #: Texts at which an answer ends.
    stop: tuple[str, ...] = ()
    #: Whether the slot's seed is sent.
    send_seed: bool = False
    #: Whether reasoning is switched off, where a model has it and does not insist on it.
    reasoning_off: bool = False
    #: Whether the answer is asked for as an object: the text, and the model's own estimate of it.
    self_report: bool = False
    #: How a structured answer is asked for: the best that the model supports.
    reply_format: Literal["json_schema", "json_object", "text"] = "text"
    #: OpenRouter's ``provider`` routing options, as they are.
    routing: dict[str, Any] = Field(default_factory=dict)
    #: None: the price is unknown, and no dollar cap can hold.
    price: Price | None = None
    #: Seconds that one call may take, first byte to last.
    request_timeout_s: float = 90.0
    #: Seconds that a slot may take, its waits and all its attempts included.
    slot_timeout_s: float = 300.0
    #: Calls for one slot, the first included.
    max_attempts: int = 5


class Limits(Message):
    """What the whole fleet may do together. Made from the run's config, kept by the governor."""

    #: Requests per minute; None = no limit of ours.
    max_rpm: Annotated[int, Field(ge=1)] | None = None
    #: Tokens per minute, prompt and completion.
    max_tpm: Annotated[int, Field(ge=1)] | None = None
    #: Calls at the same time; the governor adapts below it.
    max_inflight: Annotated[int, Field(ge=1)] = 64
    #: Dollars that the run may spend, everything included.
    max_cost_usd: Annotated[float, Field(gt=0)] | None = None


class GenerateJob(Message):
    """One prompt times G slots to generate. Made by ``dispatch``, read by ``worker.tasks``."""

    run: str
    step: int
    group: str
    prompts: tuple[SlotPrompt, ...]
    sampling: Sampling
    limits: Limits = Limits()
    #: What the money is booked under.
    purpose: Literal["train", "eval"] = "train"


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
    #: Several are right answers, any of them.
    reference: Reference | None
    #: The domain's own words: concepts, features, name and aliases.
    terms: tuple[str, ...]
    #: The extra columns of the data line, by name, for custom rewards.
    extra: dict[str, Any]
    rewards: tuple[RewardTerm, ...]
    #: The models that judge; empty = none does.
    judges: tuple[Sampling, ...] = ()
    #: What the judges are told to look for.
    rubric: str = ""
    #: Slot -> the text that its completion is to be preferred to: the judges then say which of the
    #: two is better, and the score is 1, 0.5 or 0. Empty = the judges score each text by itself.
    rivals: dict[int, str] = Field(default_factory=dict)
    #: Share of the completions that are judged a second time, to measure the judge's noise.
    rejudge_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    limits: Limits = Limits()
    purpose: Literal["train", "eval"] = "train"


class Completion(Message):
    """A provider's answer for one slot. Made by a worker, read by ``dispatch`` and the rewards."""

    slot: int
    text: str
    #: The generator's own estimate of its quality in [0, 1]; None if it gave none.
    quality: float | None = None
    model: str
    provider: str
    finish_reason: str | None = "stop"
    native_finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    #: None is unknown, never free.
    cost_usd: float | None = 0.0
    seconds: float = 0.0
    attempts: int = 1


class JudgeAnswer(Message):
    """What a judge wrote, kept with its cost until the completion has its reward. Made and read by
    workers: whoever takes the group over does not ask again what was answered."""

    slot: int
    text: str
    #: All attempts included; None is unknown, never free.
    cost_usd: float | None


class Reward(Message):
    """The score of one completion. Made by a worker, read by ``dispatch``."""

    slot: int
    #: Weighted mean of the parts: finite, in [0, 1] if all of them are.
    value: float
    parts: dict[str, float]
    #: The parts in words: "Length: 0.73, Vocabulary: 0.91, ...".
    feedback: str
    #: What the judges said, first and second time, in [0, 1]; empty = not judged.
    judged: tuple[float, ...] = ()
    rejudged: tuple[float, ...] = ()
    #: Judges' first answers that held no valid score.
    asked_again: int = 0
    #: Of all judge calls for this completion; None is unknown, never free.
    cost_usd: float | None = 0.0


class FailureKind(StrEnum):
    """Why a slot has no completion or no reward. Infrastructure failures are missing, never 0."""

    #: The deadline of the step passed before the slot ended.
    DEADLINE = "deadline"
    #: A reward function raised, or returned something that is not a finite real number.
    REWARD_ERROR = "reward_error"
    #: Too many requests, for longer than the slot could wait.
    RATE_LIMITED = "rate_limited"
    #: The model's side failed or answered garbage, in every attempt.
    UPSTREAM = "upstream"
    #: No whole answer within the time of a call, in every attempt.
    TIMEOUT = "timeout"
    #: The connection could not be made, or broke, in every attempt.
    CONNECTION = "connection"
    #: The request was refused as it is: repeating it changes nothing.
    REJECTED = "rejected"
    #: The prompt was refused by a content policy.
    MODERATED = "moderated"
    #: All tokens went into what comes before the text, as reasoning does: raise max_tokens.
    REASONED_OUT = "reasoned_out"
    #: A judge gave no valid score, asked twice.
    NO_SCORE = "no_score"
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
