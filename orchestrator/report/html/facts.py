"""What a report says, as plain frozen values. Made by ``collect``, drawn by ``page``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.paired import Comparison
from orchestrator.report.html.plain_text import Text
from orchestrator.run_identity import Identity


class Level(NamedTuple):
    """A value at one point of a run, with its 95% interval where one is known."""

    step: float
    cost_usd: float
    value: float
    low: float | None
    high: float | None
    #: Prompts behind it.
    prompts: int


class Curve(NamedTuple):
    """A number over steps."""

    name: str
    points: tuple[tuple[float, float], ...]


class Verdict(NamedTuple):
    """The first words of a report."""

    #: IMPROVED, NO EVIDENCE, WORSE, UNFINISHED, or NOT MEASURED.
    word: str
    sentence: str
    #: What the sentence rests on: prompts, rollouts, updates, dollars, time.
    basis: str


class Measure(NamedTuple):
    """One row of the result: before, after, and the change with its interval."""

    name: str
    #: Of the reward; None for what is not in it.
    share: float | None
    found: Comparison


class Moved(NamedTuple):
    """How often one choice is asked for, over policy versions."""

    kind: str
    name: str
    points: tuple[tuple[float, float], ...]


class Role(NamedTuple):
    """Money and calls of one role. ``estimated_usd`` stands in for costs that nobody named."""

    role: str
    calls: int | None
    named_usd: float
    estimated_usd: float
    perhaps_usd: float


class Failed(NamedTuple):
    """Rollouts without a reward, by the kind of their failure."""

    kind: str
    train: int
    eval: int
    example: str


class Latency(NamedTuple):
    """Seconds from asking to answer, waits and repeated calls included."""

    completions: int
    p50_s: float
    p95_s: float
    max_s: float
    #: (from, to, completions) of bins that are equally wide in the logarithm.
    bins: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class Shown:
    """One rollout, to be read."""

    #: best, median, worst, or failed.
    rank: str
    #: Whether it trained, or was held out.
    trained: bool
    step: int
    domain: str
    prompt: Text
    #: What was sent, by role; none to the template engine.
    messages: tuple[tuple[str, Text], ...]
    text: Text
    feedback: Text
    reward: float | None
    parts: Mapping[str, float]
    concepts: tuple[str, ...]
    #: From 1; None for a prompt without concepts.
    template: int | None
    features: tuple[str, ...]
    #: Small things with their names, such as tokens and seconds.
    details: tuple[tuple[str, str], ...]
    failure: str | None = None


@dataclass(frozen=True)
class Rollouts:
    """What ``rollouts.jsonl`` says. Made by ``rollout_scan``."""

    trained: int
    held_out: int
    without_reward: int
    #: Mean training reward per update, over its prompts.
    levels: tuple[Level, ...]
    latency: Latency | None
    failures: tuple[Failed, ...]
    #: (model, provider, completions), the most frequent first.
    answered_by: tuple[tuple[str, str, int], ...]
    finish_reasons: tuple[tuple[str, int], ...]
    tokens: tuple[int, int]
    shown: tuple[Shown, ...]


class Setting(NamedTuple):
    """A knob that is not at its default."""

    key: str
    value: str
    default: str
    meaning: str


class File(NamedTuple):
    """An input of a run."""

    role: str
    path: str
    sha256: str


@dataclass(frozen=True)
class Reproduction:
    """How the same run is made again."""

    command: str
    from_copies: str
    files: tuple[File, ...]
    #: Software and its version, as the run was started with.
    environment: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """Everything that a report says of one run."""

    run: str
    model: str
    judges: tuple[str, ...]
    #: Reward part -> its share.
    rewards: Mapping[str, float]
    verdict: Verdict
    steps_done: int
    steps_planned: int
    seconds: float | None
    #: Why it ended before its last step, if it did.
    stopped: str | None
    #: Held-out, the trained policy against the initial one.
    heldout: Comparison | None
    against_plain: Comparison | None
    #: The newest evaluation against the initial one, while there is no final one.
    so_far: Comparison | None
    measures: tuple[Measure, ...]
    evaluations: tuple[Level, ...]
    plain: Level | None
    #: Against the initial policy, paired by prompt.
    gains: tuple[Level, ...]
    final_rewards: Mapping[str, float]
    #: Metric -> its curve, those that a run has.
    series: Mapping[str, Curve]
    #: Domain -> each choice over policy versions.
    moved: Mapping[str, tuple[Moved, ...]]
    #: ``report.explain.explanation``, or None if the rollouts cannot be read back.
    explained: Mapping[str, Any] | None
    instrument: tuple[str, ...]
    roles: tuple[Role, ...]
    #: None: not even an estimate of it is known.
    cost_usd: float | None
    #: Faults of calls, repeated ones included, by name.
    faults: Mapping[str, int]
    rollouts: Rollouts
    alarms: tuple[tuple[int, str], ...]
    skipped: tuple[str, ...]
    settings: tuple[Setting, ...]
    #: Every setting, JSON by dotted key.
    config: Mapping[str, str]
    reproduction: Reproduction
    identity: Identity
    #: What could not be read, in sentences.
    notes: tuple[str, ...]
    #: The most frequent answers of the evaluations, where they tell something.
    answers: str = ""
