"""What a replay did and what its policy is worth: as JSON values, and as lines for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.off_policy import Estimate
from orchestrator.replayed_run import REDRAWN, Replay, Value, best_actions, values
from orchestrator.report.explain import words
from orchestrator.report.summary import move_lines, moves


def replayed(again: Replay, greedy: bool) -> dict[str, Any]:
    """A replay that has ended; ``greedy`` judges the deployed policies."""
    weights = {term.name: term.weight for term in again.inputs.rewards}
    return {
        "replay_of": again.stored.directory.name,
        "steps": again.steps[-1].step,
        "policy_version": again.weights.version,
        "rollouts": sum(len(group.survivors()) for group in again.groups),
        "calls": 0,
        "cost": {"total_usd": 0.0},
        "rewards": weights,
        "solver": again.inputs.config.algorithm.solver,
        "off_policy": [valued(value) for value in values(again, greedy)],
        "deployed": best_actions(again.weights, again.inputs),
        "learnt": [move._asdict() for move in moves(again.inputs, again.weights)],
    }


def valued(value: Value) -> dict[str, Any]:
    """One policy's value; without numbers where the overlap is too thin for any."""
    found = value.estimate
    refused = refusal(found)
    row: dict[str, Any] = {"policy": value.name, "refused": refused}
    if found is not None:
        row["overlap"] = found.overlap._asdict()
    if found is not None and refused is None:
        row |= {"dr": found.dr._asdict(), "snips": found.snips._asdict()}
    return row


def refusal(found: Estimate | None) -> str | None:
    """Why nothing can be said of a policy; None if something can."""
    if found is None:
        return "fewer than two groups have two rewards"
    return found.overlap.too_thin


def lines(again: Replay, found: Mapping[str, Any], policy: str) -> Iterator[str]:
    """What was done, learnt, and what it is worth."""
    total = sum(found["rewards"].values())
    rewards = ", ".join(
        f"{name.rpartition(':')[2]} {weight / total:.0%}"
        for name, weight in found["rewards"].items()
    )
    yield f"replayed {found['rollouts']:,} rollouts of {found['replay_of']}"
    yield f"  {found['steps']} updates ({found['solver']}), 0 calls, $0.00   reward: {rewards}"
    yield from move_lines(again.inputs, found["learnt"])
    if found["off_policy"]:
        yield "  value by the stored rollouts, training judged cross-fitted (95% CI)"
    else:
        yield f"  value    no estimate: {REDRAWN}"
    for row in found["off_policy"]:
        yield from value_lines(row)
    yield f"  policy   {policy}"


def value_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """One policy's value in a line."""
    if row["refused"]:
        yield f"    {row['policy']:<18} no estimate: {row['refused']}"
        return
    overlap = row["overlap"]
    yield (
        f"    {row['policy']:<18} doubly robust {words(row['dr'], '')}   SNIPS"
        f" {words(row['snips'], '')}   effective rollouts {overlap['ess']:,.0f} of"
        f" {overlap['rollouts']:,}"
    )
