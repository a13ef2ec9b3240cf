"""What a judge of pairs has found: who is preferred, how surely, and how steady the judge was."""

from typing import Any, NamedTuple

import numpy as np

from orchestrator.comparison.by_judge import Duel, Texts, pair_group
from orchestrator.comparison.preference import Pair, preference
from orchestrator.data import same_text
from orchestrator.rollouts import Example
from shared.messages import Reward


class Asked(NamedTuple):
    """What the judge said of a pair, first with A in the first place; None = no answer."""

    first: Reward | None
    second: Reward | None


def result(found: Duel) -> dict[str, Any]:
    """The comparison as JSON values, from what is kept in its folder."""
    by_prompt: dict[str, list[Pair]] = {}
    asked: list[Asked] = []
    judged = identical = without_text = 0
    for example in found.examples:
        pairs = by_prompt.setdefault(same_text(example.text), [])
        for texts in found.texts(example):
            said = _asked(found, example, texts)
            asked += [said] if texts.decided is None else []
            pair = _pair(texts, said)
            pairs += [] if pair is None else [pair]
            judged += pair is not None
            identical += texts.decided == 0.5
            without_text += texts.a is None or texts.b is None
    known = [pairs for pairs in by_prompt.values() if pairs]
    answers = [reward for each in asked for reward in each if reward is not None]
    total = len(found.examples) * found.options.samples
    liked = preference(known)
    matched = {example.id for example in found.examples}
    return {
        "a": found.runs[0].name,
        "b": found.runs[1].name,
        "judge": found.judge.model,
        "prompts": len(found.examples),
        "distinct_prompts": len(by_prompt),
        "samples": found.options.samples,
        "policies": found.options.how,
        "preference": liked and {**liked._asdict(), "verdict": liked.verdict},
        "pairs": {
            "total": total,
            "judged": judged,
            "flipped": sum(pair.flipped for pairs in known for pair in pairs),
            "identical": identical,
            "missing": total - judged,
            "without_text": without_text,
        },
        "first_place": float(np.mean([r.value for r in answers])) if answers else None,
        "asked_again": sum(reward.asked_again for reward in answers),
        "unmatched": [e.source for e in found.dataset.examples if e.id not in matched],
        "trained_on": [example.source for example in found.trained_on],
    }


def _asked(found: Duel, example: Example, texts: Texts) -> Asked:
    group, slot = pair_group(example), 2 * texts.number
    return Asked(*(found.folder.answer(group, slot + place).reward for place in (0, 1)))


def _pair(texts: Texts, asked: Asked) -> Pair | None:
    """A's score in both orders; None if a text or an answer is missing."""
    if texts.decided is not None:
        return Pair(texts.decided, texts.decided)
    if asked.first is None or asked.second is None:
        return None
    return Pair(asked.first.value, 1 - asked.second.value)
