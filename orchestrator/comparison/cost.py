"""What a comparison may still cost, from the prompts it asks and the endpoint's own prices."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.budget import (
    ENVELOPE_CHARACTERS,
    USUAL_CHARACTERS,
    CallCost,
    all_calls,
    call_cost,
)
from orchestrator.comparison.arms import Arm
from orchestrator.rollouts import Example
from shared.messages import Sampling

#: Prompts whose length stands for all.
LOOKED_AT = 32


class Remaining(NamedTuple):
    """What is still to be asked, and its cost without repeated calls."""

    #: Completions that are wanted, and of those the ones that are kept already.
    completions: int
    kept: int
    judgements: int
    cost: CallCost


def remaining(
    arms: Sequence[Arm],
    examples: Sequence[Example],
    wanted: Mapping[str, int],
    missing: Mapping[str, int],
    judging: Sequence[tuple[Sampling, float, int]],
) -> Remaining:
    """What completions by arm are missing, and judge calls (judge, characters, calls) to come."""
    calls = [
        (call_cost(arm.models.generator, request_characters(arm, examples)), missing[arm.name])
        for arm in arms
    ]
    calls += [(call_cost(judge, characters), count) for judge, characters, count in judging]
    total = sum(wanted.values())
    return Remaining(
        completions=total,
        kept=total - sum(missing.values()),
        judgements=sum(count for _, _, count in judging),
        cost=all_calls(calls),
    )


def request_characters(arm: Arm, examples: Sequence[Example]) -> float:
    """Mean length of an arm's requests."""
    known = [e for e in examples if e.id in arm.inputs.heldout_domains][:LOOKED_AT]
    jobs = [arm.job(arm.group(example, 1), "estimate").generate for example in known]
    lengths = [len(m.content) for job in jobs for prompt in job.prompts for m in prompt.messages]
    return sum(lengths) / max(1, len(jobs)) + ENVELOPE_CHARACTERS


def judge_characters(
    examples: Sequence[Example], rubric: str, answers: Sequence[Sampling]
) -> float:
    """Mean length of a judge's request about one answer of each of these models."""
    prompts = sum(len(e.text) + len("".join(e.reference or "")) for e in examples) / len(examples)
    written = sum(sampling.max_tokens for sampling in answers) * USUAL_CHARACTERS
    return prompts + len(rubric) + written + ENVELOPE_CHARACTERS
