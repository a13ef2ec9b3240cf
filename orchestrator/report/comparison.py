"""What ``eval`` and ``ab`` say: before they ask, and when they are done."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.comparison.by_judge import Duel
from orchestrator.comparison.by_reward import Plan
from orchestrator.comparison.cost import Remaining
from orchestrator.intervals import ENOUGH_PROMPTS
from orchestrator.paired import VERDICTS
from orchestrator.preflight import Models
from orchestrator.report.answers import answers_line
from orchestrator.report.header import digits, model_lines
from orchestrator.report.summary import spent_lines
from orchestrator.wording import listed, places

#: Lines of a data file that a warning names.
NAMED = 5


def plan_lines(found: Plan | Duel) -> Iterator[str]:
    """What is about to be asked, and what it may cost."""
    arms = list(found.arms.values()) if isinstance(found, Plan) else list(found.arms)
    said = dict.fromkeys(line for arm in arms for line in model_lines(arm.models))
    yield from said
    prompts, samples = len(found.examples), found.options.samples
    examples, matched = found.dataset.examples, {e.id for e in found.examples}
    left_out = [e.source for e in examples if e.id not in matched]
    unmatched = f" · {_match_none(left_out)}" if left_out else ""
    yield f"  data     {prompts} prompts x {samples} samples{unmatched}"
    if found.trained_on:
        yield f"  WARNING  {_trained_on([e.source for e in found.trained_on], prompts)}"
    runs = found.runs if isinstance(found, Duel) else (found.run,)
    for run in runs:
        if not (run.path / "policy.json").exists():
            yield f"  WARNING  {run.name} has not ended: this is its policy so far"
    left = found.remaining()
    kept = f" ({left.kept:,} are kept already)" if left.kept else ""
    judged = f" + {left.judgements:,} judgements" if left.judgements else ""
    yield f"  plan     {left.completions:,} completions{kept}{judged}"
    yield from _cost_lines(arms[0].models, left, found.options.budget_usd)
    if isinstance(found, Duel):
        writers = {arm.models.generator.model for arm in arms}
        if len(writers) > 1 and found.judge.model in writers:
            yield f"  WARNING  {found.judge.model} judges its own texts: judges prefer those"


def eval_lines(found: Mapping[str, Any], place: str) -> Iterator[str]:
    """The gains, and what is missing."""
    how = "takes its best action" if found["trained"] == "greedy" else "draws its actions"
    yield (
        f"{found['prompts']} prompts x {found['samples']} samples, paired by prompt, same draws;"
        f" the trained policy {how}"
    )
    first, gains = found["baseline"], found["against"]
    for name in (first, *(name for name in gains if name != first)):
        yield _gain_line(found["names"][name], gains[name])
    yield f"  verdict  {_verdict(found)}"
    if "plain" not in gains:
        yield "  plain    does not apply: the template engine has nothing to say without concepts"
    for name, gain in found["measures"].items():
        if gain:
            yield (
                f"    {name.rpartition(':')[2]:<12} {gain['before']:.3f} -> {gain['after']:.3f}"
                f"   {gain['gain']:+.3f}  [{gain['low']:+.3f}, {gain['high']:+.3f}]"
            )
    gain = gains[first]
    if gain is None or gain["prompts"] < ENOUGH_PROMPTS:
        yield f"  {ENOUGH_PROMPTS} prompts are the fewest that can show anything"
    names = {"trained": "trained: "} | {name: f"{found['names'][name]}: " for name in gains}
    if alike := answers_line(found["answers"], names):
        yield f"  answers  {alike}"
    missing = {n: count for n, count in found["missing"]["completions"].items() if count}
    if missing:
        each = ", ".join(f"{found['names'][name]} {count}" for name, count in missing.items())
        yield (
            f"  missing  {found['missing']['pairs']} pairs; completions without a reward: {each};"
            " repeat the command to ask for them again"
        )
    yield from _data_lines(found)
    yield from spent_lines(found["cost"])
    if found["gate"]:
        passed = "passed" if found["gate"]["passed"] else "FAILED"
        yield f"  gate     {passed}: {found['gate']['tested']}"
    yield f"  kept in  {place}"


def ab_lines(found: Mapping[str, Any], place: str) -> Iterator[str]:
    """Who is preferred, and how surely."""
    yield f"A = {found['a']}   B = {found['b']}   judge {found['judge']}"
    pairs, liked = found["pairs"], found["preference"]
    if liked is None:
        yield "  no pair was judged: nothing is known"
    else:
        yield (
            f"  blind, both orders asked: A {liked['a']} · B {liked['b']} · tie {liked['ties']}"
            f" of {liked['prompts']} prompts (order flipped the verdict in {pairs['flipped']} of"
            f" {pairs['judged']} pairs)"
        )
        yield (
            f"  A preferred {liked['share']:.0%} (95% CI [{liked['low']:.0%}, {liked['high']:.0%}],"
            f" ties half)   {liked['verdict']}{_needed(liked)}"
        )
    if pairs["missing"]:
        yield (
            f"  missing  {pairs['missing']} of {pairs['total']} pairs ({pairs['without_text']} lack"
            " a text, the others a verdict); repeat the command to ask for them again"
        )
    if pairs["identical"]:
        yield f"  equal    {pairs['identical']} pairs of equal texts: ties, no judge was asked"
    if found["first_place"] is not None:
        yield f"  order    the text in the first place won {found['first_place']:.0%} of verdicts"
    yield from _data_lines(found)
    yield from spent_lines(found["cost"])
    yield f"  kept in  {place}"


def _needed(liked: Mapping[str, Any]) -> str:
    if liked["needed"] == 0:
        return ""
    if liked["needed"] is None:
        return ": no difference to be seen"
    return f", ~{liked['needed']:,} more prompts needed"


def _gain_line(name: str, gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return f"  {name:<9} cannot be compared: fewer than 2 prompts have a reward from both"
    return (
        f"  {name:<9} {gain['before']:.3f}   trained {gain['after']:.3f}   gain {gain['gain']:+.3f}"
        f"  95% CI [{gain['low']:+.3f}, {gain['high']:+.3f}]   wins {gain['wins']}"
        f" ties {gain['ties']} losses {gain['losses']}   {gain['shows']}"
    )


def _verdict(found: Mapping[str, Any]) -> str:
    """The word, and the comparisons that decide it where they do not all agree."""
    word, gains = found["verdict"], found["against"]
    deciding = [
        found["names"][name]
        for name, gain in gains.items()
        if (gain["shows"] if gain else VERDICTS["NO EVIDENCE"]) == VERDICTS[word]
    ]
    if len(deciding) == len(gains):
        return str(word)
    return f"{word}, against {listed(deciding)}: it is the worst of the comparisons"


def _data_lines(found: Mapping[str, Any]) -> Iterator[str]:
    if found["distinct_prompts"] < found["prompts"]:
        repeated = found["prompts"] - found["distinct_prompts"]
        yield f"  repeated {repeated} prompts stand more than once: each text counts once"
    if found["unmatched"]:
        yield f"  skipped  {_match_none(found['unmatched'])}"
    if found["trained_on"]:
        yield f"  WARNING  {_trained_on(found['trained_on'], found['prompts'])}"


def _match_none(sources: Sequence[str]) -> str:
    return f"{len(sources)} prompts match no domain and are left out ({_lines(sources)})"


def _trained_on(sources: Sequence[str], prompts: int) -> str:
    return (
        f"{len(sources)} of the {prompts} prompts were TRAINED ON ({_lines(sources)}): what follows"
        " says little about new prompts"
    )


def _lines(sources: Sequence[str]) -> str:
    return places(sources, NAMED)


def _cost_lines(models: Models, left: Remaining, cap: float | None) -> Iterator[str]:
    expected, ceiling = left.cost
    if not models.all() and ceiling == 0:
        return
    if expected is None or ceiling is None:
        yield "  estimate cost unknown: a price stands neither in the endpoint's list nor in prices"
        return
    yield (
        f"  estimate ${digits(expected)} expected, ${digits(ceiling)} at most (every reply at"
        " max_tokens)"
    )
    if cap is not None and cap < ceiling:
        yield (
            f"  cap      ${digits(cap)}, for all attempts together: may stop before the end; what"
            " was answered is kept"
        )
    remaining = models.key.remaining_usd if models.key else None
    if remaining is not None and remaining < expected:
        yield f"  WARNING  the key has ${remaining:.2f} left, less than this is expected to cost"
