"""What a run has learnt, from its stored rollouts: as JSON values, and as lines for people."""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator import effects, policy, reliability
from orchestrator.effects import Effect, Effects
from orchestrator.inputs import Inputs
from orchestrator.rollouts import Group, Params
from orchestrator.run_directory import RunDirectory
from orchestrator.run_result import decision_of, result_of
from orchestrator.space import Space
from orchestrator.stored_run import StoredRun, stored_batches
from shared.errors import UsageError

#: Of an effect of which nothing is said.
UNKNOWN = "too little is known to say"
KINDS = ("concept", "template", "feature")
#: Of ``rollouts.jsonl``, what the end of a run reads back: some 25,000 rollouts.
NEWEST_BYTES = 64 * 2**20


def explanation(stored: StoredRun) -> dict[str, Any]:
    """Everything that ``explain`` knows. Within a domain and kind the most useful come first."""
    found = _by_domain(stored.inputs, stored.groups)
    config, ended = stored.inputs.config, _result(stored)
    return {
        "run": stored.directory.name,
        "step": stored.now.version,
        "model": config.model or "template engine",
        "judges": list(config.judge_models),
        "rewards": {term.name: term.weight for term in stored.inputs.rewards},
        "verdict": (decision := decision_of(ended, config)) and decision.word,
        "heldout": ended.get("heldout"),
        "heldout_vs_plain": ended.get("heldout_vs_plain"),
        "eval_metrics": ended.get("eval_metrics", {}),
        "alarms": ended.get("alarms", []),
        "domains": [_domain(stored, name, found[name]) for name in stored.inputs.domains],
        "instrument": _instrument(stored.inputs, stored.groups, found),
    }


def instrument(directory: RunDirectory, inputs: Inputs) -> dict[str, Any]:
    """How far the reward of a run can be trusted.

    A long run is judged by its newest rollouts: a million of them would fill the memory. Raises
    UsageError if they cannot be read back.
    """
    batches = stored_batches(directory, inputs, NEWEST_BYTES)
    groups = [group for batch in batches for group in batch.groups]
    return _instrument(inputs, groups, _by_domain(inputs, groups))


def _instrument(
    inputs: Inputs, groups: Sequence[Group], found: Mapping[str, Effects]
) -> dict[str, Any]:
    rollouts = sum(each.rollouts for each in found.values())
    squares = sum(each.rollouts * each.noise_std**2 for each in found.values())
    residual = (squares / rollouts) ** 0.5 if rollouts else None
    return reliability.measure(groups, inputs.config.batch_size, residual)


def _result(stored: StoredRun) -> Mapping[str, Any]:
    """``run.json``; nothing while the run goes on."""
    with contextlib.suppress(UsageError):
        return result_of(stored.directory) or {}
    return {}


def _by_domain(inputs: Inputs, groups: Sequence[Group]) -> dict[str, Effects]:
    return {
        name: effects.estimate([group for group in groups if group.domain == name], space)
        for name, space in inputs.spaces.items()
    }


def _domain(stored: StoredRun, name: str, found: Effects) -> dict[str, Any]:
    domain, space = stored.inputs.domains[name], stored.inputs.spaces[name]
    names = [
        *domain.concepts,
        *(f"template {number}" for number in range(1, space.T + 1)),
        *domain.features,
    ]
    kinds = [KINDS[0]] * space.n + [KINDS[1]] * space.T + [KINDS[2]] * space.m
    start = _probabilities(stored.start.domains[name].params, space)
    now = _probabilities(stored.now.domains[name].params, space)
    best = policy.greedy(stored.now.domains[name].params, space)
    choices = [
        {"kind": kind, "name": title, "start": before, "now": after, **_effect(effect)}
        for kind, title, before, after, effect in zip(
            kinds, names, start, now, found.choices, strict=True
        )
    ]
    return {
        "domain": name,
        "rollouts": found.rollouts,
        "noise_std": found.noise_std,
        "choices": sorted(
            choices, key=lambda choice: (KINDS.index(choice["kind"]), -_worth(choice["effect"]))
        ),
        "pairs": [
            {
                "names": [names[pair.first], names[pair.second]],
                "effect": pair.reward._asdict(),
                "rollouts": pair.rollouts,
            }
            for pair in found.pairs
        ],
        "deployed": {
            "concepts": [domain.concepts[i] for i in best.concepts],
            "template": best.template + 1,
            "template_text": domain.templates[best.template].text,
            "features": [domain.features[i] for i in best.features],
        },
    }


def _probabilities(params: Params, space: Space) -> list[float]:
    return [
        *policy.inclusion(params, space).tolist(),
        *policy.template_probabilities(params).tolist(),
        *policy.feature_probabilities(params, space).tolist(),
    ]


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "effect": effect.reward and effect.reward._asdict(),
        "parts": {name: part._asdict() for name, part in effect.parts.items()},
        "rollouts": effect.rollouts,
    }


def _worth(effect: Mapping[str, Any] | None) -> float:
    """For an order; what nothing is said of comes last."""
    return effect["value"] if effect else -math.inf


def decided(effect: Mapping[str, Any] | None) -> bool:
    """Whether an effect is clear among all that were looked at."""
    return bool(effect and effect["clear"])


def lines(found: Mapping[str, Any], show_all: bool) -> Iterator[str]:
    """The table. Features without a clear effect are left out unless ``show_all``."""
    yield f"run {found['run']}   after step {found['step']}   {found['model']}"
    yield "effect on the reward of asking for this instead of an average other of its kind (95% CI)"
    yield "* clear among all of its domain; an interval without 0 is clear by itself alone"
    for domain in found["domains"]:
        yield ""
        yield from _domain_lines(domain, show_all)
    yield ""
    yield from instrument_lines(found["instrument"])
    for alarm in found["alarms"]:
        yield f"alarm (step {alarm['step']}): {alarm['words']}"


def _domain_lines(domain: Mapping[str, Any], show_all: bool) -> Iterator[str]:
    yield f"{domain['domain']}   {domain['rollouts']:,} rollouts, noise {domain['noise_std']:.3f}"
    if not domain["rollouts"]:
        yield "  no group with two rewards: nothing is known here"
        return
    shown = [
        choice
        for choice in domain["choices"]
        if show_all or choice["kind"] != "feature" or decided(choice["effect"])
    ]
    width = max(len(choice["name"]) for choice in shown)
    for choice in shown:
        name = choice["name"].removeprefix("template ")
        yield (
            f"  {choice['kind']:<8} {name:<{width}}  {choice['start']:.2f} ->"
            f" {choice['now']:.2f}  {words(choice['effect']):>{len(UNKNOWN)}}"
            f"{'*' if decided(choice['effect']) else ' '} {choice['rollouts']:>6,} rollouts"
            f"  {_parts(choice['parts'])}".rstrip()
        )
    if hidden := len(domain["choices"]) - len(shown):
        yield f"  {hidden} features without a clear effect; --all shows them"
    for pair in domain["pairs"]:
        yield (
            f"  together {' + '.join(pair['names'])}: {words(pair['effect'])} beyond their single"
            f" effects, {pair['rollouts']:,} rollouts"
        )


def words(interval: Mapping[str, Any] | None, sign: str = "+") -> str:
    """``+0.123 [+0.104, +0.141]``; without plus signs for ``sign`` = ""."""
    if interval is None:
        return UNKNOWN
    value, low, high = (f"{interval[key]:{sign}.3f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _parts(parts: Mapping[str, Mapping[str, float]]) -> str:
    """The parts that a choice clearly moves."""
    moved = [(name, part["value"]) for name, part in parts.items() if decided(part)]
    return " · ".join(f"{name.rpartition(':')[2]} {value:+.3f}" for name, value in moved)


def instrument_metrics(found: Mapping[str, Any] | None) -> dict[str, float]:
    """The same as one line of metrics, what is not known left out."""
    if found is None:
        return {}
    judge, length = found["judge"] or {}, found["length_correlation"] or {}
    reliability_found = judge.get("reliability") or {}
    rows = {
        "instrument/noise_std": found["noise_std"],
        "instrument/length_correlation": length.get("value"),
        "instrument/judge_noise_std": judge.get("noise_std"),
        "instrument/judge_reliability": reliability_found.get("value"),
        "instrument/judge_parse_failure_rate": judge.get("parse_failure_rate"),
    }
    return {name: value for name, value in rows.items() if value is not None}


def instrument_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The judge's noise and what it needs, the reward and length."""
    judge = found["judge"]
    if judge:
        yield from _judge_lines(judge)
    length = found["length_correlation"]
    if length:
        yield f"length   correlation of reward and words within a prompt {words(length)}"
    if found["noise_std"]:
        yield (
            f"noise    {found['noise_std']:.3f} per rollout ({found['noise_from']}); to see an"
            f" effect of {_needed(found['needed'])}"
        )


def _judge_lines(judge: Mapping[str, Any]) -> Iterator[str]:
    failures = (
        f"{judge['without_score_at_first']} of {judge['judgements']:,} answers held no score"
        f" at first, {judge['without_score']} none in the end"
    )
    if judge["noise_std"] is None:
        yield f"judge    {failures}; noise unknown: set rejudge_fraction to judge some texts twice"
        return
    inside = judge["reliability_within_prompts"]
    within = f", within a prompt {inside:.2f}" if inside is not None else ""
    reliability = judge["reliability"]
    yield (
        f"judge    noise {judge['noise_std']:.3f} from {judge['pairs']} pairs; reliability"
        f" {reliability['value']:.2f} [{reliability['low']:.2f}, {reliability['high']:.2f}]{within}"
    )
    if judge["agreement"]:
        yield f"         the first two judges agree: ICC {judge['agreement']['value']:.2f}"
    yield f"         {failures}"


def _needed(needed: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{row['effect']:g}: {row['rollouts']:,} rollouts (group_size {row['group_size']} in one"
        " step)"
        if i == 0
        else f"{row['effect']:g}: {row['rollouts']:,} ({row['group_size']})"
        for i, row in enumerate(needed)
    )
