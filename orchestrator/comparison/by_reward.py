"""``eval``: a trained policy beside others on the same prompts, by the run's own reward.

The initial policy and, where a model writes, the plain prompt without concepts are always asked:
a gain over a bad start is not a gain over no prompt engineering at all.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from orchestrator import data
from orchestrator.approvals import refuse_unapproved
from orchestrator.comparison.arms import (
    NOT_ASKED,
    Arm,
    How,
    comparable_inputs,
    data_digest,
    model_name,
    questions,
    trained_texts,
    trained_weights,
)
from orchestrator.comparison.asking import Observe, Setting, Wanted, asking, window_usd
from orchestrator.comparison.cost import Remaining, judge_characters, remaining
from orchestrator.comparison.folder import Folder
from orchestrator.data import same_text
from orchestrator.engine import Engine
from orchestrator.inputs import Inputs
from orchestrator.interrupts import Interrupts
from orchestrator.preflight import preflight
from orchestrator.rollouts import Example
from orchestrator.run_directory import RunDirectory
from orchestrator.run_plan import has_plain_prompt, initial_weights
from orchestrator.stored_run import stored_config
from shared.errors import UsageError


class Options(NamedTuple):
    """What ``eval`` and ``ab`` are told beside the runs."""

    data: Path
    #: Completions per prompt and policy.
    samples: int
    #: How trained policies act.
    how: How = "greedy"
    #: In place of the runs' own.
    model: str | None = None
    budget_usd: float | None = None
    workers: int | None = None
    #: Beside the runs' own: dollars per million tokens, in and out.
    prices: Mapping[str, tuple[float, float]] = MappingProxyType({})

    def changes(self) -> dict[str, object]:
        """To a run's config."""
        given = {"model": self.model, "workers": self.workers}
        kept = {key: value for key, value in given.items() if value is not None}
        return {
            **kept,
            "eval_samples": self.samples,
            "max_cost_usd": self.budget_usd,
            "prices": dict(self.prices),
            # Callbacks hear of training alone.
            "callbacks": (),
        }


class Plan(NamedTuple):
    """An evaluation that is about to be made."""

    run: RunDirectory
    options: Options
    dataset: data.Dataset
    #: By name; the last is the one that is evaluated.
    arms: Mapping[str, Arm]
    #: Name of the arm that the verdict compares with.
    baseline: str
    #: Prompts that match a domain of the run.
    examples: tuple[Example, ...]
    #: Prompts that the run, or the run it is compared with, was trained on.
    trained_on: tuple[Example, ...]
    folder: Folder

    @property
    def inputs(self) -> Inputs:
        return self.arms["trained"].inputs

    def wanted(self) -> Iterator[Wanted]:
        """Every group, prompt by prompt, so that what an early end leaves is pairs."""
        run, samples = self.folder.run, self.options.samples
        for example in self.examples:
            trained = self.arms["trained"]
            score = trained.job(trained.group(example, samples), run).score
            for arm in self.arms.values():
                if example.id in arm.inputs.heldout_domains:
                    job = arm.job(arm.group(example, samples), run, score)
                    yield Wanted(job, arm.name, example)

    def remaining(self) -> Remaining:
        """What is still to be asked."""
        wanted, missing = Counter[str](), Counter[str]()
        for one in self.wanted():
            wanted[one.arm] += len(one.job.generate.prompts)
            missing[one.arm] += len(self.folder.missing(one.job))
        models, config = self.arms["trained"].models, self.inputs.config
        length = judge_characters(self.examples, self.inputs.rubric, [models.generator])
        judged = round(missing.total() * (1 + config.rejudge_fraction))
        judging = [(judge, length, judged) for judge in models.judges]
        return remaining(list(self.arms.values()), self.examples, wanted, missing, judging)


def plan(
    run: RunDirectory, options: Options, baseline: str = "initial", policy: Path | None = None
) -> Plan:
    """Check everything and decide who is asked what. ``policy`` replaces the run's own.

    Raises UsageError for data, a run, a policy or a baseline that cannot be compared, and for
    functions that are not approved.
    """
    refuse_unapproved(run.path, stored_config(run))
    digest = data_digest(options.data)
    dataset = data.load(str(options.data), stored_config(run).columns)
    inputs = comparable_inputs(run, options.data, options.changes())
    models = preflight(inputs.config, ask=True)
    start = initial_weights(inputs)
    arms = {"initial": Arm("initial", inputs, models, start, "sampled")}
    if has_plain_prompt(inputs):
        arms["plain"] = Arm("plain", inputs, models, start, "plain")
    texts = trained_texts(run)
    if baseline not in {"initial", "plain"}:
        other = RunDirectory.find(run.path.parent, baseline)
        arms["baseline"] = _other(other, options, inputs.config.seed)
        texts |= trained_texts(other)
    elif baseline not in arms:
        raise UsageError(
            "--baseline plain: the template engine has nothing to say without concepts; compare"
            " with initial, or name a model with --model"
        )
    trained = trained_weights(run, inputs, policy)
    arms["trained"] = Arm("trained", inputs, models, trained, options.how)
    identity = {
        "data": digest,
        "arms": {name: arm.identity() for name, arm in arms.items() if name != "baseline"},
        "rewards": [term.model_dump(mode="json") for term in inputs.terms("eval")],
        "rubric": inputs.rubric if models.judges else "",
        "judges": [s.model_dump(mode="json", exclude=set(NOT_ASKED)) for s in models.judges],
    }
    return Plan(
        run=run,
        options=options,
        dataset=dataset,
        arms=arms,
        baseline=baseline if baseline in arms else "baseline",
        examples=inputs.heldout,
        trained_on=tuple(e for e in inputs.heldout if same_text(e.text) in texts),
        folder=Folder(run, "eval", options.data, identity),
    )


def _other(run: RunDirectory, options: Options, seed: int) -> Arm:
    """The policy of another run, as far as it can be asked the same: its draws are the first's."""
    inputs = comparable_inputs(run, options.data, {**options.changes(), "seed": seed})
    arm = Arm(
        "", inputs, preflight(inputs.config, ask=True), trained_weights(run, inputs), options.how
    )
    return arm._replace(name=f"run-{arm.digest()}")


def evaluate(
    found: Plan,
    url: str | None,
    interrupts: Interrupts,
    started: Callable[[Engine], None],
    observe: Observe,
) -> None:
    """Ask for everything that the plan's folder lacks; nothing is started if it lacks nothing.

    Raises as ``asking`` and ``Asker.ask`` do.
    """
    wanted = list(found.wanted())
    if not any(found.folder.missing(one.job) for one in wanted):
        return
    with asking(_setting(found), url, interrupts, started) as asker:
        asker.ask(wanted, observe)


def _setting(found: Plan) -> Setting:
    inputs, options = found.inputs, found.options
    return Setting(
        folder=found.folder,
        config=inputs.config,
        asked={
            "command": "eval",
            "run": found.run.name,
            "data": str(options.data),
            "samples": options.samples,
            "trained": options.how,
            "models": {name: model_name(arm.inputs.config) for name, arm in found.arms.items()},
        },
        terms=inputs.terms("eval"),
        columns=found.dataset.extra_columns,
        window_usd=window_usd(inputs.config, found.remaining()),
        questions=questions(found.arms.values()),
    )
