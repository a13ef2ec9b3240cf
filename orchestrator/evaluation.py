"""The held-out reward of a policy, or of the plain prompt without concepts.

Held-out prompts never train.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from orchestrator import groups
from orchestrator.dispatch import Dispatcher
from orchestrator.inputs import Inputs
from orchestrator.ledger import Progress
from orchestrator.preflight import Models
from orchestrator.rollouts import Group, Weights
from shared.messages import Reward

#: What is evaluated: the policy at the start, the prompt without concepts, the policy on the way,
#: and the trained policy with draws that nothing was chosen by.
Kind = Literal["initial", "plain", "interval", "final"]

#: Characters that are kept of the most frequent answer.
LONGEST_ANSWER = 200


class Answers(NamedTuple):
    """How alike the completions of different prompts are: a collapse to one answer shows here."""

    completions: int
    #: Different texts among them, whatever their white space.
    different: int
    #: The most frequent one, cut to ``LONGEST_ANSWER``; how many completions and prompts have it.
    text: str
    times: int
    prompts: int


def answers(texts: Iterable[Sequence[str]]) -> Answers | None:
    """Over the completions of each prompt; None without any."""
    by_prompt = [Counter(" ".join(text.split()) for text in each) for each in texts]
    counts = sum(by_prompt, Counter[str]())
    if not counts:
        return None
    text, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return Answers(
        completions=counts.total(),
        different=len(counts),
        text=text[:LONGEST_ANSWER],
        times=count,
        prompts=sum(text in each for each in by_prompt),
    )


@dataclass(frozen=True)
class Evaluation:
    """The held-out reward of one policy version."""

    kind: Kind
    step: int
    policy_version: int
    #: Held-out example id -> mean reward over its scored completions.
    rewards: Mapping[str, float]
    #: Reward part or eval metric -> held-out example id -> mean over its scored completions.
    measures: Mapping[str, Mapping[str, float]]
    failed: int
    groups: tuple[Group, ...]
    #: None where no completion came, and in what an older version kept.
    answers: Answers | None = None

    @property
    def reward(self) -> float | None:
        """Mean over the prompts; None if no prompt has a reward."""
        return float(np.mean(list(self.rewards.values()))) if self.rewards else None

    @property
    def parts(self) -> dict[str, float]:
        """Each reward part and eval metric: mean over the prompts."""
        return {name: float(np.mean(list(by.values()))) for name, by in self.measures.items()}


def evaluate(
    inputs: Inputs,
    models: Models,
    weights: Weights,
    dispatcher: Dispatcher,
    run: str,
    step: int,
    kind: Kind,
    observe: Callable[[Progress], None] = lambda progress: None,
) -> Evaluation:
    """Complete and score every held-out prompt ``eval_samples`` times.

    The initial policy draws its actions, a trained one takes its best, the plain prompt has none.
    The draws and the sampling seeds are those of (kind, step): ``final`` shares none with the
    evaluations that a run was stopped by.
    """
    drawn = _drawn(inputs, weights, step, kind)
    results = dispatcher.collect(
        groups.jobs(inputs, models, drawn, run, purpose="eval"),
        inputs.config.step_deadline_s,
        observe,
    )
    finished = groups.finish(drawn, results)
    return Evaluation(
        kind=kind,
        step=step,
        policy_version=weights.version,
        rewards={g.example.id: float(g.rewards().mean()) for g in finished if g.survivors()},
        measures=_measures(finished),
        failed=sum(r.reward is None for group in finished for r in group.rollouts),
        groups=finished,
        answers=answers(
            [r.completion.text for r in group.rollouts if r.completion is not None]
            for group in finished
        ),
    )


def _drawn(inputs: Inputs, weights: Weights, step: int, kind: Kind) -> tuple[Group, ...]:
    prefix = "eval" if kind in {"initial", "interval"} else kind
    batch = [(f"{prefix}-{example.id}", example) for example in inputs.heldout]
    domains, slots = inputs.heldout_domains, inputs.config.eval_samples
    if kind == "plain":
        return groups.plain(domains, weights, batch, step, slots)
    greedy = kind != "initial"
    return groups.draw(inputs, domains, weights, batch, step, slots, greedy=greedy)


def _measures(finished: Sequence[Group]) -> dict[str, dict[str, float]]:
    by_prompt = {
        group.example.id: [r.reward for r in group.rollouts if r.reward is not None]
        for group in finished
    }
    scored = {name: rewards for name, rewards in by_prompt.items() if rewards}
    measures = dict.fromkeys(part for rewards in scored.values() for part in rewards[0].parts)
    return {
        part: {name: _mean(part, rewards) for name, rewards in scored.items()} for part in measures
    }


def _mean(part: str, rewards: Sequence[Reward]) -> float:
    return float(np.mean([reward.parts[part] for reward in rewards]))
