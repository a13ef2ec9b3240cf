"""``ab``: two runs' policies answer the same prompts, and a judge says which answer is better.

The judge sees the prompt, both texts and the reference, in both orders, and nothing of who wrote
what. Each run asks its own model by its own policy; the draws are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator import data
from orchestrator.comparison.arms import (
    NOT_ASKED,
    STEP,
    Arm,
    comparable_inputs,
    data_digest,
    model_name,
    questions,
    trained_texts,
    trained_weights,
)
from orchestrator.comparison.asking import Observe, Setting, Wanted, asking, window_usd
from orchestrator.comparison.by_reward import Options
from orchestrator.comparison.cost import Remaining, judge_characters, remaining
from orchestrator.comparison.folder import Folder
from orchestrator.data import same_text
from orchestrator.engine import Engine
from orchestrator.inputs import BUILTIN_RUBRIC
from orchestrator.interrupts import Interrupts
from orchestrator.ledger import GroupJob
from orchestrator.preflight import preflight
from orchestrator.rollouts import Example
from orchestrator.run_directory import RunDirectory
from orchestrator.stored_run import stored_config
from shared.errors import UsageError
from shared.messages import Completion, GenerateJob, Sampling, ScoreJob, SlotPrompt

BUILTIN_PAIR_RUBRIC = BUILTIN_RUBRIC.with_name("rubric-pair.md")


class Texts(NamedTuple):
    """One pair: what A and B wrote; None where there is no text."""

    number: int
    a: Completion | None
    b: Completion | None

    @property
    def decided(self) -> float | None:
        """A's score where no judge needs to be asked: equal texts, or an empty one."""
        if self.a is None or self.b is None:
            return None
        a, b = self.a.text.strip(), self.b.text.strip()
        if a == b:
            return 0.5
        return None if a and b else float(bool(a))


class Duel(NamedTuple):
    """A comparison of two runs that is about to be made."""

    runs: tuple[RunDirectory, RunDirectory]
    options: Options
    dataset: data.Dataset
    #: A and B.
    arms: tuple[Arm, Arm]
    #: Prompts that match a domain of both runs.
    examples: tuple[Example, ...]
    #: Those that one of the runs was trained on.
    trained_on: tuple[Example, ...]
    folder: Folder

    @property
    def judge(self) -> Sampling:
        return self.arms[0].models.judges[0]

    @property
    def rubric(self) -> str:
        return self.arms[0].inputs.rubric

    def writing(self) -> Iterator[Wanted]:
        """Every text, prompt by prompt."""
        for example in self.examples:
            for arm in self.arms:
                job = arm.job(arm.group(example, self.options.samples), self.folder.run)
                yield Wanted(job._replace(score=None), arm.name, example)

    def texts(self, example: Example) -> list[Texts]:
        """What was written about a prompt."""
        names = [arm.group_id(example) for arm in self.arms]
        return [
            Texts(number, *(self.folder.answer(name, number).completion for name in names))
            for number in range(self.options.samples)
        ]

    def judging(self) -> Iterator[Wanted]:
        """Every pair that needs a judge, in both orders: slot 2k has A first, slot 2k + 1 B."""
        for example in self.examples:
            shown: dict[int, Completion] = {}
            rivals: dict[int, str] = {}
            for number, a, b in (pair for pair in self.texts(example) if pair.decided is None):
                if a is not None and b is not None:
                    for slot, first, second in ((2 * number, a, b), (2 * number + 1, b, a)):
                        shown[slot] = first.model_copy(update={"slot": slot})
                        rivals[slot] = second.text
            if rivals:
                job = self._judge_job(example, rivals)
                yield Wanted(job, "judge", example, tuple(shown.values()))

    def remaining(self) -> Remaining:
        """What is still to be asked; every pair may need both orders."""
        missing = dict.fromkeys((arm.name for arm in self.arms), 0)
        for one in self.writing():
            missing[one.arm] += len(self.folder.missing(one.job))
        pairs = len(self.examples) * self.options.samples
        judged = sum(
            self.folder.answer(pair_group(example), slot).reward is not None
            for example in self.examples
            for slot in range(2 * self.options.samples)
        )
        generators = [arm.models.generator for arm in self.arms]
        length = judge_characters(self.examples, self.rubric, generators)
        judging = [(self.judge, length, 2 * pairs - judged)]
        return remaining(self.arms, self.examples, dict.fromkeys(missing, pairs), missing, judging)

    def _judge_job(self, example: Example, rivals: dict[int, str]) -> GroupJob:
        group, run, limits = pair_group(example), self.folder.run, self.arms[0].models.limits
        nothing = tuple(SlotPrompt(slot=slot, messages=(), draft="", seed=0) for slot in rivals)
        generate = GenerateJob(
            run=run, step=STEP, group=group, prompts=nothing, sampling=Sampling(), purpose="eval"
        )
        score = ScoreJob(
            run=run,
            step=STEP,
            group=group,
            prompt=example.text,
            reference=example.reference,
            terms=(),
            extra={},
            rewards=self.arms[0].inputs.rewards,
            judges=(self.judge,),
            rubric=self.rubric,
            rivals=rivals,
            limits=limits,
            purpose="eval",
        )
        return GroupJob(generate, score, f"judge {example.id} x{len(rivals)}")


def pair_group(example: Example) -> str:
    """The name of a prompt's pairs in Redis."""
    return f"pair-{example.id}"


def duel(
    run_a: RunDirectory, run_b: RunDirectory, options: Options, judge: str, rubric: Path | None
) -> Duel:
    """Check everything and decide who is asked what. Raises UsageError."""
    if run_a.path == run_b.path:
        raise UsageError(f"{run_a.name} cannot be compared with itself; name two runs")
    digest = data_digest(options.data)
    dataset = data.load(str(options.data), stored_config(run_a).columns)
    changes = {
        **options.changes(),
        "judge_models": (judge,),
        "reward_funcs": ("judge",),
        "reward_weights": (),
        "reward_options": {},
        "eval_metrics": (),
        "rejudge_fraction": 0.0,
        "rubric": str(rubric or BUILTIN_PAIR_RUBRIC),
    }
    seed = comparable_inputs(run_a, options.data, changes).config.seed
    arms = tuple(
        _arm(name, run, options, {**changes, "seed": seed})
        for name, run in (("a", run_a), ("b", run_b))
    )
    a, b = arms
    both = tuple(e for e in a.inputs.heldout if e.id in b.inputs.heldout_domains)
    if not both:
        raise UsageError(
            f"{options.data}: no prompt matches a domain of both runs; give prompts that both know"
        )
    texts = trained_texts(run_a) | trained_texts(run_b)
    judging = a.models.judges[0].model_dump(mode="json", exclude=set(NOT_ASKED))
    identity = {
        "data": digest,
        "other": run_b.name,
        "arms": [arm.identity() for arm in arms],
        "judge": judging,
        "rubric": a.inputs.rubric,
    }
    return Duel(
        runs=(run_a, run_b),
        options=options,
        dataset=dataset,
        arms=(a, b),
        examples=both,
        trained_on=tuple(e for e in both if same_text(e.text) in texts),
        folder=Folder(run_a, "ab", options.data, identity),
    )


def _arm(name: str, run: RunDirectory, options: Options, changes: dict[str, object]) -> Arm:
    inputs = comparable_inputs(run, options.data, changes)
    return Arm(
        name, inputs, preflight(inputs.config, ask=True), trained_weights(run, inputs), options.how
    )


def compare_texts(
    found: Duel,
    url: str | None,
    interrupts: Interrupts,
    started: Callable[[Engine], None],
    observe: Observe,
) -> None:
    """Have every text written and every pair judged that the folder lacks; nothing is started if
    it lacks nothing. Raises as ``asking`` and ``Asker.ask`` do."""
    if not (_lacking(found, list(found.writing())) or _lacking(found, list(found.judging()))):
        return
    with asking(_setting(found), url, interrupts, started) as asker:
        asker.ask(list(found.writing()), observe)
        asker.ask(list(found.judging()), observe)


def _lacking(found: Duel, wanted: Sequence[Wanted]) -> bool:
    return any(found.folder.missing(one.job) for one in wanted)


def _setting(found: Duel) -> Setting:
    inputs = found.arms[0].inputs
    return Setting(
        folder=found.folder,
        config=inputs.config,
        asked={
            "command": "ab",
            "a": found.runs[0].name,
            "b": found.runs[1].name,
            "data": str(found.options.data),
            "samples": found.options.samples,
            "policies": found.options.how,
            "models": [model_name(arm.inputs.config) for arm in found.arms],
            "judge": found.judge.model,
        },
        terms=inputs.rewards,
        columns=found.dataset.extra_columns,
        window_usd=window_usd(inputs.config, found.remaining()),
        questions=questions(found.arms),
    )
