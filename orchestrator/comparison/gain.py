"""What an evaluation has found: paired gains with intervals, what is missing, the gate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from orchestrator.comparison.by_reward import Plan
from orchestrator.comparison.folder import Folder
from orchestrator.data import same_text
from orchestrator.evaluation import answers
from orchestrator.intervals import ENOUGH_PROMPTS
from orchestrator.paired import Comparison, compare, told, worst
from shared.messages import Reward

#: Prompt text -> mean over its scored completions.
ByPrompt = dict[str, float]


class Gate(NamedTuple):
    """Whether the gain is as large as it was asked to be."""

    min_gain: float
    passed: bool
    #: What was tested, with its numbers.
    tested: str


def result(found: Plan) -> dict[str, Any]:
    """The evaluation as JSON values, from what is kept in its folder."""
    rewards = {name: _rewards(found, name) for name in found.arms}
    values = {name: _by_prompt(each, lambda r: r.value) for name, each in rewards.items()}
    compared = {
        name: compare(values[name], values["trained"]) for name in found.arms if name != "trained"
    }
    verdict = worst(compared.values())
    against = {name: _told(each, verdict) for name, each in compared.items()}
    texts = {same_text(example.text) for example in found.examples}
    missing = texts - (values[found.baseline].keys() & values["trained"].keys())
    samples = found.options.samples
    return {
        "prompts": len(found.examples),
        "distinct_prompts": len(texts),
        "samples": samples,
        "trained": found.options.how,
        "rewards": {name: _mean(each) for name, each in values.items()},
        "verdict": verdict,
        "baseline": found.baseline,
        "gain": against[found.baseline],
        "against": against,
        "answers": {
            name: given._asdict()
            for name in found.arms
            if (given := answers(_texts(found, name))) is not None
        },
        "measures": _measures(rewards[found.baseline], rewards["trained"]),
        "missing": {
            "pairs": len(missing),
            "completions": {
                name: samples * len(found.examples) - sum(map(len, each.values()))
                for name, each in rewards.items()
            },
        },
        "unmatched": [
            e.source for e in found.dataset.examples if e.id not in found.inputs.heldout_domains
        ],
        "trained_on": [example.source for example in found.trained_on],
    }


def gate(gain: Mapping[str, Any] | None, baseline: str, min_gain: float) -> Gate:
    """Whether the lower end of the gain's 95% interval is at least ``min_gain``.

    Never passed by fewer prompts than can show anything.
    """
    if gain is None or gain["prompts"] < ENOUGH_PROMPTS:
        prompts = gain["prompts"] if gain else 0
        words = (
            f"{prompts} prompts have a reward from both trained and {baseline};"
            f" {ENOUGH_PROMPTS} are the fewest that can show anything"
        )
        return Gate(min_gain, False, words)
    passed = gain["low"] >= min_gain
    words = (
        f"the lower end of the 95% interval of trained - {baseline} is {gain['low']:+.4f},"
        f" {'at least' if passed else 'below'} {min_gain:+.4f}"
    )
    return Gate(min_gain, passed, words)


def _rewards(found: Plan, name: str) -> dict[str, list[Reward]]:
    """Prompt text -> the rewards that an arm's completions have."""
    arm, rewards = found.arms[name], dict[str, list[Reward]]()
    for example in found.examples:
        kept = _kept(found.folder, arm.group_id(example), found.options.samples)
        rewards.setdefault(same_text(example.text), []).extend(kept)
    return rewards


def _texts(found: Plan, name: str) -> Iterator[list[str]]:
    """The completions that an arm has, prompt by prompt."""
    by_text = dict[str, list[str]]()
    for example in found.examples:
        group = found.arms[name].group_id(example)
        kept = (found.folder.answer(group, slot) for slot in range(found.options.samples))
        texts = [answer.completion.text for answer in kept if answer.completion is not None]
        by_text.setdefault(same_text(example.text), []).extend(texts)
    yield from by_text.values()


def _kept(folder: Folder, group: str, samples: int) -> Iterable[Reward]:
    answers = (folder.answer(group, slot) for slot in range(samples))
    return (answer.reward for answer in answers if answer.reward is not None)


def _by_prompt(rewards: Mapping[str, Sequence[Reward]], value: Any) -> ByPrompt:
    return {
        text: float(np.mean([value(reward) for reward in each]))
        for text, each in rewards.items()
        if each
    }


def _measures(
    before: Mapping[str, Sequence[Reward]], after: Mapping[str, Sequence[Reward]]
) -> dict[str, Any]:
    """Reward part or eval metric -> its own gain."""
    names = dict.fromkeys(p for each in after.values() for reward in each for p in reward.parts)
    return {
        name: _told(
            compare(
                _by_prompt(before, lambda r, name=name: r.parts[name]),
                _by_prompt(after, lambda r, name=name: r.parts[name]),
            )
        )
        for name in names
    }


def _mean(values: ByPrompt) -> float | None:
    return float(np.mean(list(values.values()))) if values else None


def _told(comparison: Comparison | None, verdict: str | None = None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    ties = comparison.prompts - comparison.wins - comparison.losses
    return {**(told(comparison, verdict or comparison.verdict) or {}), "ties": ties}
