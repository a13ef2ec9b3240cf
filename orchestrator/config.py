"""RunConfig: every knob of a run, with the sentence that documents it.

Secrets and addresses are no knobs: they come from the environment (``shared.settings``).
"""

import difflib
import os.path
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, Strict, ValidationInfo, model_validator

from orchestrator.algorithm import (
    STORED,
    Algorithm,
    Clipped,
    Knobs,
    Natural,
    refuse_without_effect,
)
from shared.builtin_rewards import BUILTIN_REWARDS

DEFAULT_DOMAINS = ("quantum-computing", "machine-learning", "neural-networks")
#: Losses of the clipped solver that bear rollouts of older policies.
SOUND_OFF_POLICY = ("cispo", "gspo")
DEFAULT_REWARDS = {"length": 0.30, "vocabulary": 0.30, "structure": 0.20, "quality": 0.20}
#: With a judge, its word counts as much as all formulas together.
DEFAULT_REWARDS_JUDGED = {
    **{name: weight / 2 for name, weight in DEFAULT_REWARDS.items()},
    "judge": 0.5,
}

PositiveInt = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
#: A file or folder: ``~`` is the home.
FileName = Annotated[str, AfterValidator(os.path.expanduser)]
#: Knobs are strict, and a list of TOML or JSON is no tuple of Python's.
LISTED = Strict(False)
Texts = Annotated[tuple[str, ...], LISTED]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Columns(Knobs):
    """What the data calls our fields: ``text = "question"``; a dot goes into an object."""

    text: str = ""
    """Column of the prompt; empty = text."""
    reference: str = ""
    """Column of the good answer; empty = reference."""
    domain: str = ""
    """Column of the domain; empty = domain."""
    id: str = ""
    """Column of the record's id; empty = id."""
    keep: Texts | None = None
    """Other columns that rewards may read; unset = all."""


class RunConfig(Knobs):
    """One run, fully described: the same config, data and answers give the same policy."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,40}$")] = ""
    """First part of the run's name; empty = the data file's name."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of everything random: split, batches, draws, evaluation."""

    data: FileName = ""
    """Training data: a .jsonl, .json, .csv or .parquet file, hf://OWNER/NAME/SPLIT, or - for JSONL
    on standard input; empty = the bundled examples."""
    heldout: FileName = ""
    """Held-out data; empty = a share of the training data, or the bundled held-out examples."""
    heldout_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of the data that is held out when there is no held-out file."""
    columns: Columns = Columns()
    """What the data calls our fields, such as columns.text = "question"."""
    domains: Annotated[tuple[FileName, ...], LISTED, Field(min_length=1)] = DEFAULT_DOMAINS
    """Domains: names of built-in ones, or .toml or .json files."""
    match: Literal["words", "always"] | None = None
    """How a prompt that names no domain finds its own: by the words that it says, or always the
    one domain that there is; empty = always where there is one, words where there are several."""

    max_steps: PositiveInt = 20
    """Updates of the policy; ignored when num_epochs is given."""
    num_epochs: PositiveInt | None = None
    """Passes over the training data, in place of max_steps."""
    batch_size: PositiveInt = 8
    """Prompts per step."""
    early_batch_size: PositiveInt | None = None
    """Prompts per step at first: each update is wiser than the last, and small steps make more of
    few rollouts, one after the other. Empty = batch_size from the start."""
    early_rollouts: PositiveInt = 256
    """Rollouts after which steps have batch_size prompts; of early_batch_size."""
    group_size: Annotated[int, Field(ge=2, le=256)] = 8
    """Slots per prompt: a group of one has nothing to be compared with."""
    max_group_size: Annotated[int, Field(ge=2, le=256)] | None = None
    """Slots per prompt while nothing is known of its domain; the number falls to group_size as the
    policy settles. Empty = always group_size."""
    prompt_sampling: Literal["epochs", "difficulty"] = "epochs"
    """Which prompts a step asks: in shuffled passes over the data, or drawn by the spread that
    their rewards have had, each at most once per step."""
    dynamic_sampling: Annotated[int, Field(ge=0, le=8)] = 0
    """Rounds per step in which groups without signal are followed by groups of other prompts."""
    duplicate_actions: Literal["keep", "redraw"] = "keep"
    """What becomes of an action that a group has already: kept, as a measure of the reward's
    noise, or drawn anew (only for the natural solver, which needs no ratio)."""
    max_staleness: Annotated[int, Field(ge=0, le=16)] = 0
    """Batches in flight beside the one that an update waits for: no call waits for the slowest one
    of its step, and rollouts may be so many updates old. 0 = each step waits for all of its own."""
    concepts_per_prompt: PositiveInt = 2
    """Concepts that a prompt asks for (k)."""
    features_per_prompt: Annotated[int, Field(ge=0)] = 2
    """Related features that a prompt asks for (f)."""
    base_prompt: str = "Generate a high-quality explanation."
    """Instruction that opens every prompt."""
    self_report: bool | None = None
    """Whether the model is asked for its own estimate of the quality, in a JSON object with the
    text; empty = where the reward or a metric is the built-in quality, which reads it."""
    algorithm: Algorithm = Natural()
    """The update: solver = "natural" or "clipped", and the solver's own knobs."""

    model: str = ""
    """Model that writes the completions, a slug such as mistralai/mistral-small-3.2-24b-instruct;
    empty = the built-in template engine, free and offline."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature, sent if the model takes one; empty = the provider's default."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Nucleus sampling, sent if the model takes it; empty = the provider's default."""
    max_tokens: Annotated[int, Field(ge=1, le=32_000)] = 400
    """Tokens that a completion may have: always sent, and what a call reserves money for."""
    stop: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], LISTED, Field(max_length=4)
    ] = ()
    """Texts at which a completion ends; judges are not sent them."""
    send_seed: Literal["auto"] | bool = "auto"
    """Whether completions are asked for with their slot's seed; auto = if the endpoint's list says
    that the model takes one."""
    reply_format: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    """How the models are asked where an answer is to be an object, as a judgement is: by a schema,
    as some JSON, or in words alone; auto = the best that the endpoint's list says they take."""
    prices: dict[str, Annotated[tuple[Dollars, Dollars], LISTED]] = Field(default_factory=dict)
    """Dollars per million tokens, in and out, such as prices."gpt-x" = [0.5, 1.5]: for an endpoint
    that lists no prices, and in place of those that it lists."""
    routing: dict[str, Any] = Field(default_factory=dict)
    """OpenRouter's provider options, such as {order = ["..."], allow_fallbacks = false}."""
    template_latency_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Seconds that the template engine waits before it answers, to try an engine's behaviour."""

    judge_models: Texts = ()
    """Models that judge each completion; several = the mean of their scores."""
    judge_max_tokens: Annotated[int, Field(ge=1, le=8_000)] = 200
    """Tokens that a judgement may have: a reason and a score."""
    rubric: FileName = ""
    """File with what the judges look for; empty = the built-in rubric."""
    rejudge_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of completions that are judged twice, to report the judge's noise."""

    max_cost_usd: Annotated[float, Field(gt=0)] | None = None
    """Dollars that the run may spend, everything included; it stops before, resumable."""
    max_rpm: PositiveInt | None = None
    """Requests per minute of the whole fleet; empty = only what the provider allows."""
    max_tpm: PositiveInt | None = None
    """Tokens per minute of the whole fleet; empty = only what the provider allows."""
    max_inflight: Annotated[int, Field(ge=1, le=4096)] = 64
    """Calls at the same time, of the whole fleet; the governor adapts below it."""
    max_retries: Annotated[int, Field(ge=0, le=20)] = 4
    """Repetitions of a call that failed for a passing reason."""
    request_timeout_s: Seconds = 90.0
    """Seconds for one call, first byte to last."""
    slot_timeout_s: Seconds = 300.0
    """Seconds for one slot, all its waits and calls included."""

    reward_funcs: Texts = ()
    """Parts of the reward: built-in names, or module:function of your own; empty = length,
    vocabulary, structure and quality, and the judge if there is one."""
    reward_weights: Annotated[tuple[Annotated[float, Field(ge=0)], ...], LISTED] = ()
    """One weight per reward function; 0 = reported only; empty = the defaults, or equal ones."""
    reward_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Options by reward function, such as reward_options.length.target_words = 80."""

    eval_interval: Annotated[int, Field(ge=0)] = 5
    """Steps between two held-out evaluations; 0 = at the start and the end only."""
    eval_samples: PositiveInt = 4
    """Completions per held-out prompt and evaluation."""
    eval_metrics: Texts = ()
    """Reward functions that are measured on held-out completions and are not in the reward, so
    that nothing is trained on them: built-in names, or module:function of your own."""
    early_stopping_patience: Annotated[int, Field(ge=0)] = 0
    """Evaluations in a row without a new best held-out reward that end training; 0 = off."""
    convergence_kl: Annotated[float, Field(gt=0)] | None = None
    """Training ends when the exact KL of five steps in a row stays below this; empty = off."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Minutes after which training ends with the step in hand; empty = no limit."""

    step_deadline_s: Seconds = 600.0
    """A step closes after this many seconds with the groups that have at least 2 survivors."""
    no_signal_patience: Annotated[int, Field(ge=0)] = 50
    """Steps in a row without any difference within a group after which a run stops; 0 = never."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Worker processes of the embedded engine."""
    worker_groups: Annotated[int, Field(ge=1, le=1024)] = 32
    """Groups that one embedded worker has in hand at a time."""
    worker_lease_s: Annotated[float, Field(ge=1, le=600)] = 6.0
    """Seconds after which the groups of an embedded worker that died go to others."""
    worker_grace_s: Seconds = 45.0
    """Seconds without a living worker after which a run stops, resumable."""
    runs_dir: FileName = "runs"
    """Folder of the run directories."""
    share_run: bool = False
    """Others on this machine may read the run's folder, as the umask says; else you alone may."""

    report_to: Annotated[
        tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...], LISTED
    ] = ()
    """Services that are told every metric, beside metrics.jsonl."""
    callbacks: Annotated[tuple[Annotated[str, Field(pattern=r"^[\w.]+:\w+$")], ...], LISTED] = ()
    """Classes of your own that are called while the run goes on: module:Class."""
    code_dir: FileName = ""
    """Folder of your own modules, last on Python's path; empty = that of the last config file, or
    without one the folder you start in. Workers elsewhere have their own: WORKER_CODE_DIR."""

    @model_validator(mode="after")
    def _rewards_fit(self) -> Self:
        _check_names("reward_funcs", self.reward_funcs)
        _check_names("eval_metrics", self.eval_metrics)
        names = self.reward_funcs or tuple(self._defaults())
        if len(self.reward_weights) not in {0, len(names)}:
            raise ValueError(
                f"reward_weights has {len(self.reward_weights)} entries"
                f" for {len(names)} reward_funcs ({', '.join(names)}); give one weight each"
            )
        if self.reward_weights and not any(self.reward_weights):
            raise ValueError("reward_weights are all 0; at least one part must count")
        if doubled := sorted(set(self.eval_metrics) & set(self.rewards())):
            raise ValueError(
                f"eval_metrics names {doubled[0]!r}, which is in the reward; it would measure what"
                " is trained on"
            )
        if stray := sorted(set(self.reward_options) - {*self.rewards(), *self.eval_metrics}):
            raise ValueError(f"reward_options for {stray[0]!r}, which is no part of the reward")
        return self

    @model_validator(mode="after")
    def _groups_fit(self, info: ValidationInfo) -> Self:
        if self.early_batch_size is not None and self.early_batch_size > self.batch_size:
            raise ValueError(
                f"early_batch_size = {self.early_batch_size} is above batch_size ="
                f" {self.batch_size}: the first steps are to be the small ones"
            )
        if self.early_batch_size is None:
            refuse_without_effect(self, ("early_rollouts",), "without early_batch_size", info)
        if self.max_group_size is not None and self.max_group_size < self.group_size:
            raise ValueError(
                f"max_group_size = {self.max_group_size} is below group_size = {self.group_size}"
            )
        if self.max_staleness and self.dynamic_sampling:
            raise ValueError(
                "dynamic_sampling waits for a step's groups before it asks for others, and"
                " max_staleness does not wait; use one of them"
            )
        loss = self.algorithm.loss_type if isinstance(self.algorithm, Clipped) else None
        if self.max_staleness and loss not in {None, *SOUND_OFF_POLICY}:
            raise ValueError(
                f"max_staleness > 0 trains on rollouts of older policies, for which loss_type ="
                f" {loss!r} is not sound; use {' or '.join(SOUND_OFF_POLICY)}, or solver natural"
            )
        if self.duplicate_actions == "redraw" and self.algorithm.solver != "natural":
            raise ValueError(
                'duplicate_actions = "redraw" draws by another law than the policy\'s, whose ratio'
                f" the solver {self.algorithm.solver!r} needs; keep them, or use solver natural"
            )
        return self

    @model_validator(mode="after")
    def _judge_fits(self, info: ValidationInfo) -> Self:
        judging = "judge" in {*self.rewards(), *self.eval_metrics}
        if judging and not self.judge_models:
            where = "reward_funcs" if "judge" in self.rewards() else "eval_metrics"
            raise ValueError(f"{where} has 'judge', but judge_models is empty; name a model")
        if self.judge_models and not judging:
            raise ValueError("judge_models is set, but reward_funcs lacks 'judge'; add it")
        if not judging:
            refuse_without_effect(self, ("rubric", "rejudge_fraction"), "without a judge", info)
        return self

    @model_validator(mode="after")
    def _each_has_an_effect(self, info: ValidationInfo) -> Self:
        if not self.model:
            of_writer = ("temperature", "top_p", "stop", "send_seed")
            refuse_without_effect(self, of_writer, "without a model", info)
            if not self.judge_models:
                of_both = ("reply_format", "routing")
                refuse_without_effect(self, of_both, "without a model or judge", info)
        if self.heldout or not self.data:
            why = "with held-out data of its own"
            refuse_without_effect(self, ("heldout_fraction",), why, info)
        return self

    def rewards(self) -> dict[str, float]:
        """Each part of the reward with its weight before normalisation."""
        defaults = self._defaults()
        names = self.reward_funcs or tuple(defaults)
        if self.reward_weights:
            return dict(zip(names, self.reward_weights, strict=True))
        if set(names) <= set(defaults):
            return {name: defaults[name] for name in names}
        return dict.fromkeys(names, 1.0)

    def asks_self_report(self) -> bool:
        """Whether prompts ask for the model's own estimate; the template engine has none."""
        if self.self_report is None:
            return "quality" in {*self.rewards(), *self.eval_metrics} and bool(self.model)
        return self.self_report

    def _defaults(self) -> dict[str, float]:
        judged = self.judge_models and "judge" not in self.eval_metrics
        return DEFAULT_REWARDS_JUDGED if judged else DEFAULT_REWARDS

    def user_functions(self) -> tuple[str, ...]:
        """Every name of a function or class that is not built in, as ``module:name``."""
        names = (*self.reward_funcs, *self.eval_metrics, *self.callbacks)
        return tuple(dict.fromkeys(name for name in names if ":" in name))

    def code_folder(self) -> Path:
        """Where modules of the user's own are looked for."""
        return Path(self.code_dir or ".").absolute()

    def early_steps(self) -> int:
        """Steps of ``early_batch_size`` prompts, before those of ``batch_size``."""
        if self.early_batch_size is None:
            return 0
        return -(-self.early_rollouts // (self.early_batch_size * self.group_size))

    def prompts_of(self, step: int) -> int:
        """Prompts of a step; steps count from 1."""
        early = self.early_batch_size if step <= self.early_steps() else None
        return early or self.batch_size

    def prompts_before(self, step: int) -> int:
        """Prompts of all steps before this one."""
        early = min(step - 1, self.early_steps())
        return early * (self.early_batch_size or 0) + (step - 1 - early) * self.batch_size

    def most_slots(self, prompts: int) -> int:
        """Slots that so many prompts may have, and what follows groups without signal."""
        return prompts * (1 + self.dynamic_sampling) * (self.max_group_size or self.group_size)

    def steps(self, prompts: int) -> int:
        """Updates of a run over so many training prompts."""
        if self.num_epochs is None:
            return self.max_steps
        shown, early = self.num_epochs * prompts, self.early_steps()
        late = shown - self.prompts_before(early + 1)
        if late <= 0:
            return -(-shown // self.prompts_of(1))
        return early + -(-late // self.batch_size)


def config_of_run(values: Any) -> RunConfig:
    """What a run has kept of its config: a knob without effect, which an earlier version allowed,
    does not keep it from being read. Raises ValidationError."""
    return RunConfig.model_validate(values, context=STORED)


def _check_names(key: str, names: tuple[str, ...]) -> None:
    known = BUILTIN_REWARDS
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{key} names {name!r} twice")
        if name not in known and ":" not in name:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "your own is module:function"
            raise ValueError(f"{key} names {name!r}, not built in ({', '.join(known)}); {hint}")
