"""TrainingManager: the seed's training loop, batch by batch, on the engine."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator import data
from orchestrator.api.awaiting import settled
from orchestrator.api.generator import TextGeneratorModule
from orchestrator.api.learner import Asked
from orchestrator.api.optimizer import GRPOOptimizer, Metrics
from orchestrator.api.outputs import RewardResult, TextOutput, output_of
from orchestrator.api.printout import Shown, batch_outputs, unmatched_line
from orchestrator.api.reward import RewardModule, result_of
from orchestrator.callbacks import Callback, Callbacks, Hook, RunState, checked_callbacks
from orchestrator.config import RunConfig
from orchestrator.config_files import resolve
from orchestrator.rollouts import Group
from orchestrator.wording import short
from shared.errors import RunFailed, UsageError

#: Records in the seed's shape or the flat one, or a .json, .jsonl or .csv file of them.
TrainingData = Sequence[Mapping[str, Any]] | str | Path


class _Scored(NamedTuple):
    """One output of a batch; a reward that is missing is None."""

    output: TextOutput
    result: RewardResult | None


class TrainingManager:
    """Draws a group of outputs per prompt, scores them, and has the optimizer learn, per batch."""

    def __init__(
        self,
        module: TextGeneratorModule,
        optimizer: GRPOOptimizer,
        reward_module: RewardModule,
        on_batch_complete: Callable[[Metrics], object] | None = None,
        *,
        group_size: int = 8,
        batch_size: int = 8,
        early_stopping_patience: int | None = None,
        callbacks: Sequence[Callback] = (),
        verbose: bool = True,
    ) -> None:
        """``on_batch_complete`` gets each batch's metrics; it may be async.

        ``batch_size`` prompts, ``group_size`` outputs each, make one update. With
        ``early_stopping_patience``, training ends when the mean reward has not improved for that
        many passes. ``callbacks`` hear of the beginning, each batch (a step) and the end, and may
        stop training. ``verbose`` prints each prompt's best output. Raises UsageError.
        """
        for value, kind in (
            (module, TextGeneratorModule),
            (optimizer, GRPOOptimizer),
            (reward_module, RewardModule),
        ):
            if not isinstance(value, kind):
                raise UsageError(f"TrainingManager needs a {kind.__name__}, found {short(value)}")
        if on_batch_complete is not None and not callable(on_batch_complete):
            raise UsageError(f"on_batch_complete must be a function: {short(on_batch_complete)}")
        patience = early_stopping_patience
        if patience is not None and (not isinstance(patience, int) or patience < 1):
            raise UsageError(f"early_stopping_patience must be 1 or more, not {short(patience)}")
        self.module = module
        self.optimizer = optimizer
        self.reward_module = reward_module
        self.on_batch_complete = on_batch_complete
        self.verbose = verbose
        #: The metrics of every batch, oldest first.
        self.history: list[Metrics] = []
        self._sizes = _sizes(group_size, batch_size)
        self._patience = patience
        self._callbacks = Callbacks(checked_callbacks(callbacks))
        self._batches_planned = 0

    def train_on_batch(self, training_data: TrainingData) -> list[Metrics]:
        """Train on the data: ``optimizer.epochs`` passes, in batches of ``batch_size`` prompts.

        Returns the metrics of these batches. Everything is checked before the engine starts:
        UsageError names the record. Raises RunFailed if a whole batch brings no reward, or a
        callback raises.
        """
        dataset = _load(training_data)
        prompts, lost = self._prompts(dataset)
        self._say(f"columns: {', '.join(dataset.understood)}" if dataset.understood else "")
        self._say(unmatched_line(lost, len(dataset.examples)) if lost else "")
        self.reward_module.check(dataset.extra_columns)
        first = len(self.history)
        self._batches_planned = -(-len(prompts) // self._sizes.batch_size) * self.optimizer.epochs
        self._callbacks.control.should_stop = False
        self._call("on_train_begin")
        try:
            self._epochs(dataset, prompts)
        except BaseException:
            self._call("on_train_end", ending="failed")
            raise
        self._call("on_train_end", ending="finished")
        self.module.trained = True
        return self.history[first:]

    def _epochs(self, dataset: data.Dataset, prompts: Mapping[str, Asked]) -> None:
        best, without_gain = -math.inf, 0
        for epoch in range(1, self.optimizer.epochs + 1):
            rewards = []
            for batch in self._batches(dataset, prompts, epoch):
                rewards.append(self._batch(batch, epoch))
                if self._callbacks.control.should_stop:
                    return
            mean = float(np.mean(rewards))
            best, without_gain = (mean, 0) if mean > best else (best, without_gain + 1)
            if self._patience is not None and without_gain >= self._patience:
                self._say(f"stopped early after epoch {epoch}: best mean reward {best:.3f}")
                return

    def _call(self, hook: Hook, **more: Any) -> None:
        metrics = self.history[-1] if self.history else {}
        done = len(self.history)
        self._callbacks.call(hook, RunState("", None, done, self._batches_planned, metrics, **more))

    async def atrain_on_batch(self, training_data: TrainingData) -> list[Metrics]:
        """``train_on_batch``, without blocking the event loop."""
        return await asyncio.to_thread(self.train_on_batch, training_data)

    def _prompts(self, dataset: data.Dataset) -> tuple[dict[str, Asked], list[str]]:
        asked = {one.id: self.module.ask(one.id, one) for one in dataset.examples}
        prompts = {name: prompt for name, prompt in asked.items() if prompt is not None}
        lost = [one.source for one in dataset.examples if one.id not in prompts]
        if not prompts:
            domains = ", ".join(self.module.learner.inputs.domains)
            raise UsageError(
                f"{dataset.name}: none of the {len(lost)} prompts matches a domain ({domains});"
                " give them a 'domain', or the model a domain with add_domain"
            )
        return prompts, lost

    def _batches(
        self, dataset: data.Dataset, prompts: Mapping[str, Asked], epoch: int
    ) -> Iterator[list[Asked]]:
        """One pass in an order of its own; the last batch may be smaller."""
        matched = [one for one in dataset.examples if one.id in prompts]
        seed = self.module.learner.inputs.config.seed
        start, count = (epoch - 1) * len(matched), len(matched)
        order = [prompts[one.id] for _, one in data.batch(matched, start, count, seed)]
        size = self._sizes.batch_size
        return (order[start : start + size] for start in range(0, len(order), size))

    def _batch(self, batch: Sequence[Asked], epoch: int) -> float:
        """One update; returns the batch's mean reward."""
        number = len(self.history) + 1
        scored = self._scored(batch)
        everything = [one for group in scored for one in group]
        metrics = self.optimizer.update(
            self.module,
            [one.output for one in everything],
            [one.result for one in everything],
        )
        rewards = [float(one.result["reward"]) for one in everything if one.result is not None]
        failed = len(batch) * self._sizes.group_size - len(rewards)
        metrics = {"batch": number, "epoch": epoch, **metrics, "failed": failed}
        self.history.append(metrics)
        self._say(batch_outputs([_best(group) for group in scored if _rewarded(group)]))
        self._say(str(metrics.get("note", "")))
        if self.on_batch_complete is not None:
            settled([self.on_batch_complete(metrics)])
        self._call("on_step_end")
        return float(np.mean(rewards))

    def _scored(self, batch: Sequence[Asked]) -> list[list[_Scored]]:
        """Per prompt: its outputs with their rewards."""
        learner, slots = self.module.learner, self._sizes.group_size
        terms = self.reward_module.formulas
        step = learner.next_step("training")
        groups = learner.generate(batch, step, slots, terms)
        made = [self._outputs(group, one) for group, one in zip(groups, batch, strict=True)]
        if terms is None:
            flat = [one.output for group in made for one in group]
            results = iter(self._own_rewards(flat))
            made = [[one._replace(result=next(results)) for one in group] for group in made]
        if not any(map(_rewarded, made)):
            failures = Counter(
                rollout.failure.message
                for group in groups
                for rollout in group.rollouts
                if rollout.failure is not None
            )
            reason, count = failures.most_common(1)[0]
            raise RunFailed(f"the batch brought no reward: {count} rollouts failed with: {reason}")
        return made

    def _own_rewards(self, outputs: Sequence[TextOutput]) -> list[RewardResult]:
        rewards = self.reward_module
        if type(rewards).run is not RewardModule.run:
            return settled([rewards.run(output) for output in outputs])
        return rewards.score(outputs)

    def _outputs(self, group: Group, asked: Asked) -> list[_Scored]:
        learner = self.module.learner
        domain = learner.inputs.domains[group.domain]
        return [
            _Scored(
                output_of(learner.token, domain, asked.text, group, rollout),
                result_of(rollout.reward) if rollout.reward else None,
            )
            for rollout in group.rollouts
            if rollout.completion is not None
        ]

    def _say(self, text: str) -> None:
        if self.verbose and text:
            print(text, flush=True)


def _sizes(group_size: int, batch_size: int) -> RunConfig:
    settings = [
        ("group_size", "TrainingManager", group_size),
        ("batch_size", "TrainingManager", batch_size),
    ]
    return resolve([], settings).config


def _load(training_data: TrainingData) -> data.Dataset:
    if isinstance(training_data, str | Path):
        return data.load(training_data)
    if not isinstance(training_data, Sequence):
        raise UsageError(f"training_data must be a list or a path, found {short(training_data)}")
    return data.from_records(training_data, "training_data")


def _rewarded(group: Sequence[_Scored]) -> bool:
    return any(one.result is not None for one in group)


def _best(group: Sequence[_Scored]) -> Shown:
    """The output with the highest reward; of equals the first."""
    known = [(one.output, one.result) for one in group if one.result is not None]
    output, result = max(known, key=lambda pair: float(pair[1]["reward"]))
    return Shown(
        output.input["text"], output["generated"], float(result["reward"]), result["feedback"]
    )
