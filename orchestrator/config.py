"""RunConfig: every knob of a run, with the sentence that documents it.

Secrets and addresses are no knobs: they come from the environment (``shared.settings``).
"""

import difflib
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from orchestrator.algorithm import Algorithm, Knobs, Natural

DEFAULT_DOMAINS = ("quantum-computing", "machine-learning", "neural-networks")
DEFAULT_REWARDS = {"length": 0.30, "vocabulary": 0.30, "structure": 0.20, "quality": 0.20}

PositiveInt = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class RunConfig(Knobs):
    """One run, fully described: the same config, data and answers give the same policy."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,40}$")] = ""
    """First part of the run's name; empty = the data file's name."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of everything random: split, batches, draws, evaluation."""

    data: str = ""
    """Training data: a .json, .jsonl or .csv file; empty = the bundled examples."""
    heldout: str = ""
    """Held-out data; empty = a share of the training data, or the bundled held-out examples."""
    heldout_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of the data that is held out when there is no held-out file."""
    domains: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_DOMAINS
    """Domains: names of built-in ones, or .toml or .json files."""

    max_steps: PositiveInt = 20
    """Updates of the policy; ignored when num_epochs is given."""
    num_epochs: PositiveInt | None = None
    """Passes over the training data, in place of max_steps."""
    batch_size: PositiveInt = 8
    """Prompts per step."""
    group_size: Annotated[int, Field(ge=2, le=256)] = 8
    """Slots per prompt: a group of one has nothing to be compared with."""
    concepts_per_prompt: PositiveInt = 2
    """Concepts that a prompt asks for (k)."""
    features_per_prompt: Annotated[int, Field(ge=0)] = 2
    """Related features that a prompt asks for (f)."""
    base_prompt: str = "Generate a high-quality explanation."
    """Instruction that opens every prompt."""
    algorithm: Algorithm = Natural()
    """The update: solver = "natural" or "clipped", and the solver's own knobs."""

    provider: Literal["template"] = "template"
    """Who writes the completions: template = the built-in engine, free and offline."""
    template_latency_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Seconds that the template engine waits before it answers, to try an engine's behaviour."""

    reward_funcs: Annotated[tuple[str, ...], Field(min_length=1)] = tuple(DEFAULT_REWARDS)
    """Parts of the reward: built-in names, or module:function of your own."""
    reward_weights: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """One weight per reward function; 0 = reported only; empty = the defaults, or equal ones."""
    reward_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Options by reward function, such as reward_options.length.target_words = 80."""

    eval_interval: Annotated[int, Field(ge=0)] = 5
    """Steps between two held-out evaluations; 0 = at the start and the end only."""
    eval_samples: PositiveInt = 4
    """Completions per held-out prompt and evaluation."""

    step_deadline_s: Seconds = 600.0
    """A step closes after this many seconds with the groups that have at least 2 survivors."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Worker processes of the embedded engine."""
    worker_groups: Annotated[int, Field(ge=1, le=1024)] = 16
    """Groups that one embedded worker has in hand at a time."""
    worker_grace_s: Seconds = 45.0
    """Seconds without a living worker after which a run stops, resumable."""
    runs_dir: str = "runs"
    """Folder of the run directories."""

    @model_validator(mode="after")
    def _rewards_fit(self) -> Self:
        doubled = {name for name in self.reward_funcs if self.reward_funcs.count(name) > 1}
        if doubled:
            raise ValueError(f"reward_funcs names {sorted(doubled)[0]!r} twice")
        for name in self.reward_funcs:
            if name not in DEFAULT_REWARDS and ":" not in name:
                near = difflib.get_close_matches(name, DEFAULT_REWARDS, n=1)
                hint = (
                    f"did you mean {near[0]!r}?" if near else "write module:function for your own"
                )
                raise ValueError(
                    f"reward_funcs names {name!r}, which is not built in"
                    f" ({', '.join(DEFAULT_REWARDS)}); {hint}"
                )
        if self.reward_weights and len(self.reward_weights) != len(self.reward_funcs):
            raise ValueError(
                f"reward_weights has {len(self.reward_weights)} entries"
                f" for {len(self.reward_funcs)} reward_funcs; give one weight each"
            )
        if self.reward_weights and not any(self.reward_weights):
            raise ValueError("reward_weights are all 0; at least one part must count")
        if stray := sorted(set(self.reward_options) - set(self.reward_funcs)):
            raise ValueError(f"reward_options for {stray[0]!r}, which is not in reward_funcs")
        return self

    def weight_of(self, reward: str) -> float:
        """The share of a reward function before normalisation."""
        if self.reward_weights:
            return self.reward_weights[self.reward_funcs.index(reward)]
        if set(self.reward_funcs) <= set(DEFAULT_REWARDS):
            return DEFAULT_REWARDS[reward]
        return 1.0

    def steps(self, prompts: int) -> int:
        """Updates of a run over so many training prompts."""
        if self.num_epochs is None:
            return self.max_steps
        return -(-self.num_epochs * prompts // self.batch_size)
