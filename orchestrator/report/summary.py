"""The result of a run: as JSON for ``run.json`` and ``--json``, as lines for people."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator import policy
from orchestrator.budget import CUT, Spending, cost_words
from orchestrator.heldout import verdicts
from orchestrator.inputs import Inputs
from orchestrator.intervals import ENOUGH_PROMPTS
from orchestrator.paired import Comparison, told
from orchestrator.report.answers import ANSWERS_OF, answers_line
from orchestrator.report.explain import instrument_lines
from orchestrator.rollouts import Weights
from orchestrator.run import Outcome
from orchestrator.run_result import decision_of
from orchestrator.wording import places

#: Learnt concepts and templates that the closing words name.
SHOWN_MOVES = 5
#: Change of a probability that two decimals show.
SHOWN_CHANGE = 0.005
#: Characters of a prompt that the next command may hold.
LONGEST_COMMAND = 80


class Move(NamedTuple):
    """How far training moved one choice of a domain."""

    domain: str
    #: "concept" or "template".
    kind: str
    name: str
    start: float
    end: float


def moves(inputs: Inputs, weights: Weights) -> list[Move]:
    """Each concept and template with its probability at the start and now; largest change first."""
    found = []
    for name, domain_weights in weights.domains.items():
        domain, space = inputs.domains[name], inputs.spaces[name]
        now, start = domain_weights.params, domain_weights.reference
        mu_n, mu_start_n = policy.inclusion(now, space), policy.inclusion(start, space)
        for concept, before, after in zip(domain.concepts, mu_start_n, mu_n, strict=True):
            found.append(Move(name, "concept", concept, float(before), float(after)))
        p_T, p_start_T = policy.template_probabilities(now), policy.template_probabilities(start)
        for number, (before, after) in enumerate(zip(p_start_T, p_T, strict=True), 1):
            found.append(Move(name, "template", str(number), float(before), float(after)))
    return sorted(found, key=lambda move: -abs(move.end - move.start))


def summary(inputs: Inputs, outcome: Outcome, spent: Spending, seconds: float) -> dict[str, Any]:
    """The outcome as JSON values."""
    found = verdicts(outcome.baselines, outcome.final)
    verdict = found.decision.word if found.decision else None
    return {
        "steps": outcome.steps,
        "stopped": outcome.stopped and outcome.stopped._asdict(),
        "seconds": round(seconds, 3),
        "policy_version": outcome.weights.version,
        "cost": spent._asdict() | {"total_usd": spent.known_usd},
        "verdict": verdict,
        "heldout": told(found.initial, verdict),
        "heldout_vs_plain": told(found.plain, verdict),
        "answers": {
            kind: evaluation.answers._asdict()
            for kind, evaluation in (
                ("initial", outcome.baselines.initial),
                ("plain", outcome.baselines.plain),
                ("final", outcome.final),
            )
            if evaluation and evaluation.answers
        },
        "parts": {
            term.name: _ends(found.measures[term.name])
            for term in inputs.rewards
            if term.name in found.measures
        },
        "eval_metrics": {
            term.name: told(measure, measure.verdict)
            for term in inputs.eval_metrics
            if (measure := found.measures.get(term.name))
        },
        "alarms": [alarm._asdict() for alarm in outcome.alarms],
        "learnt": [move._asdict() for move in moves(inputs, outcome.weights)],
        "unmatched": [example.source for example in inputs.unmatched],
    }


def _ends(comparison: Comparison) -> dict[str, float]:
    return {"start": comparison.before, "end": comparison.after}


def lines(inputs: Inputs, found: Mapping[str, Any], run: str) -> Iterator[str]:
    """The closing table."""
    yield f"done in {found['seconds']:.1f} s"
    if found["stopped"]:
        yield f"  stopped  after step {found['steps']}: {found['stopped']['sentence']}"
    yield from _heldout_lines(inputs, found)
    yield from move_lines(inputs, found["learnt"])
    yield from spent_lines(found["cost"])
    if found["instrument"] and found["instrument"]["judge"]:
        yield from (f"  {line}" for line in instrument_lines(found["instrument"]))
    for alarm in found["alarms"]:
        yield f"  alarm    step {alarm['step']}: {alarm['words']}"
    if found["unmatched"]:
        yield (
            f"  skipped  {len(found['unmatched'])} prompts match no domain and trained nothing"
            f" ({places(found['unmatched'], 5)})"
        )
    yield f"  policy   {run}/policy.json      metrics  {run}/metrics.jsonl"


def next_lines(inputs: Inputs, found: Mapping[str, Any], run: str) -> Iterator[str]:
    """What to type next; nothing that would use a policy that has done worse."""
    decision = decision_of(found, inputs.config)
    if decision and decision.word == "WORSE":
        yield f"  next     orchestrator explain {run}"
        better = "plain prompt" if decision.by_plain else "policy before training"
        yield f"           the {better} did better: do not use this policy as it is"
        return
    shortest = min((example.text for example in inputs.train), key=len)
    if len(shortest) <= LONGEST_COMMAND:
        yield f"  next     orchestrator generate {run} {shlex.quote(shortest)} --greedy"
    if not inputs.config.data:
        yield "           orchestrator init my-domain"


def move_lines(inputs: Inputs, learnt: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What moved most: concepts, then templates."""
    concepts = [m for m in learnt if m["kind"] == "concept"][:SHOWN_MOVES]
    templates = [m for m in learnt if m["kind"] == "template"][: len(inputs.domains)]
    several = len(inputs.domains) > 1
    if all(abs(m["end"] - m["start"]) < SHOWN_CHANGE for m in learnt):
        yield "  learnt   nothing: each concept and template is asked for as often as at the start"
        return
    yield "  learnt   " + "  ".join(_move_words(m) for m in concepts)
    yield "           " + "  ".join(_move_words(m, several) for m in templates)


def _heldout_lines(inputs: Inputs, found: Mapping[str, Any]) -> Iterator[str]:
    heldout = found["heldout"]
    if not heldout:
        yield "  no held-out prompts: nothing says whether the policy improved; give --heldout FILE"
        return
    yield "                       start    end      change (95% CI)"
    yield f"{_change('  held-out reward', heldout)}   {_decided(inputs, found)}"
    yield from _part_lines(inputs, found["parts"])
    for name, metric in found["eval_metrics"].items():
        title = f"  {name.rpartition(':')[2]} (eval)"
        yield f"{_change(title, metric)}   {_shows(metric)}, not in the reward"
    plain = found["heldout_vs_plain"]
    if plain:
        yield f"{_change('  against no concepts', plain)}   {_shows(plain)}"
    elif not inputs.config.model:
        yield "    without concepts   does not apply: the template engine has nothing to say then"
    else:
        yield "    without concepts   not compared: fewer than 2 prompts have a reward from both"
    if alike := answers_line(found.get("answers", {}), ANSWERS_OF):
        yield f"  answers  {alike}"


def _decided(inputs: Inputs, found: Mapping[str, Any]) -> str:
    """The verdict, and what it rests on."""
    decision, start = decision_of(found, inputs.config), found["heldout"]
    score = f"better on {start['wins']} of {start['prompts']} prompts"
    if start["prompts"] < ENOUGH_PROMPTS:
        score += f"; {ENOUGH_PROMPTS} are the fewest that can show anything"
    if missing := len(inputs.heldout) - start["prompts"]:
        score += f"; {missing} of {len(inputs.heldout)} have no reward at one of the ends"
    if decision is None or not decision.by_plain:
        return f"{decision.word if decision else 'NO EVIDENCE'}, {score}"
    than = "than" if decision.word == "WORSE" else "that it is better than"
    return f"{decision.word} {than} the plain prompt; against its start {score}"


def _shows(found: Mapping[str, Any]) -> str:
    compared = Comparison.read(found)
    return compared.shows if compared else ""


def _change(title: str, of: Mapping[str, Any]) -> str:
    return (
        f"{title:<22} {of['before']:.3f}    {of['after']:.3f}   "
        f" {of['gain']:+.3f}  [{of['low']:+.3f}, {of['high']:+.3f}]"
    )


def spent_lines(cost: Mapping[str, Any]) -> Iterator[str]:
    """What calls have cost, if any was made."""
    calls = sum(cost["calls"].values())
    if not calls:
        return
    asked = [role for role in cost["spent"] if cost["calls"][role]]
    roles = " · ".join(f"{role} {_cost_of(role, cost)}" for role in asked)
    total = cost_words(cost["total_usd"], cost.get("unknown", {}), _stand_ins(cost))
    yield f"  cost     {total} for {calls:,} calls   {roles}"
    if estimated := sum(cost["estimated"].values()):
        yield f"           ${estimated:.4f} of it is an estimate: those answers named no cost"
    if perhaps := sum(cost["perhaps"].values()):
        yield f"           up to ${perhaps:.4f} more for calls whose answer never came"
    faults = dict(cost["faults"])
    if cut := faults.pop(CUT, 0):
        yield f"  cut      {cut:,} answers end at max_tokens, and are scored as they are: raise it"
    if faults:
        yield f"  faults   {' · '.join(f'{name} {count}' for name, count in faults.items())}"


def _stand_ins(cost: Mapping[str, Any]) -> dict[str, float]:
    return {role: cost["estimated"][role] + cost["perhaps"][role] for role in cost["estimated"]}


def _cost_of(role: str, cost: Mapping[str, Any]) -> str:
    known, unknown = cost["spent"][role] + cost["estimated"][role], cost.get("unknown", {})
    return cost_words(known, {role: unknown.get(role, 0)}, _stand_ins(cost))


def _part_lines(inputs: Inputs, parts: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    total = sum(term.weight for term in inputs.rewards)
    shares = {term.name: term.weight / total for term in inputs.rewards}
    for name, part in parts.items():
        title = f"{name.rpartition(':')[2]} {shares[name]:.0%}"
        yield (
            f"    {title:<18} {part['start']:.3f}    {part['end']:.3f}   "
            f" {part['end'] - part['start']:+.3f}"
        )


def _move_words(move: Mapping[str, Any], with_domain: bool = False) -> str:
    arrow = "▲" if move["end"] > move["start"] else "▼" if move["end"] < move["start"] else "="
    name = f"template {move['name']}" if move["kind"] == "template" else move["name"]
    domain = f" ({move['domain']})" if with_domain else ""
    return f"{arrow} {name}{domain} {move['start']:.2f} -> {move['end']:.2f}"
