"""The sentence that opens a report."""

from collections.abc import Mapping
from typing import Any

from orchestrator.intervals import ENOUGH_PROMPTS
from orchestrator.paired import Comparison, decide
from orchestrator.report.html.facts import Level, Rollouts, Verdict


def verdict(
    found: Comparison | None,
    so_far: Level | None,
    ended: Mapping[str, Any] | None,
    stopped: str | None,
    plain: Comparison | None = None,
    has_plain: bool = False,
) -> Verdict:
    """What can be said, and no more.

    ``found`` is the trained policy against the initial one, ``plain`` against the plain prompt, if
    the run ``has_plain``; ``so_far`` the newest evaluation on the
    way, for a run that has not ended; ``ended`` is ``run.json``.
    """
    decision = decide(found, plain, has_plain)
    if found is not None and decision is not None and ended is not None:
        sentences = [_compared(found)]
        if has_plain:
            sentences.insert(0 if decision.by_plain else 1, _against_plain(plain))
        return Verdict(decision.word, " ".join(sentences), "")
    if ended is None:
        why = f" ({stopped})" if stopped else ""
        return Verdict("UNFINISHED", f"The run has not ended{why}. {_so_far(so_far)}", "")
    if "replay_of" in ended:
        sentence = (
            f"A replay of the rollouts of {ended['replay_of']}: nothing was asked and nothing"
            " evaluated. Its value is what “orchestrator replay” printed."
        )
        return Verdict("NOT MEASURED", sentence, "")
    sentence = "There were no held-out prompts with a reward, so nothing says whether it improved."
    return Verdict("NOT MEASURED", sentence, "")


def _compared(found: Comparison) -> str:
    change = (
        f"{found.before:.3f} to {found.after:.3f}: {found.gain:+.3f},"
        f" 95% interval {found.low:+.3f} to {found.high:+.3f}"
    )
    score = f"better on {found.wins} and worse on {found.losses} of {found.prompts} prompts"
    if found.verdict == "IMPROVED":
        return f"The held-out reward rose from {change}, {score}."
    if found.verdict == "WORSE":
        return f"The held-out reward fell from {change}, {score}."
    why = (
        f"{ENOUGH_PROMPTS} prompts are the fewest that can show anything"
        if found.prompts < ENOUGH_PROMPTS
        else "the interval spans 0, so the change may be chance"
    )
    return f"The held-out reward went from {change}, {score}; {why}."


def _against_plain(found: Comparison | None) -> str:
    if found is None:
        return "It could not be compared with the plain prompt without concepts."
    than = {
        "better": "better than",
        "worse": "worse than",
        "no evidence": "not shown to be better than",
    }[found.shows]
    return (
        f"The trained policy is {than} the plain prompt without concepts: {found.before:.3f} to"
        f" {found.after:.3f}: {found.gain:+.3f}, 95% interval {found.low:+.3f} to"
        f" {found.high:+.3f}, better on {found.wins} and worse on {found.losses} of"
        f" {found.prompts} prompts."
    )


def _so_far(level: Level | None) -> str:
    if level is None or level.low is None or level.high is None:
        return "Its policy was not evaluated on held-out prompts yet."
    return (
        f"After step {level.step:g} the held-out reward was {level.value:+.3f} against the start"
        f" ({level.prompts} prompts, 95% interval {level.low:+.3f} to {level.high:+.3f}); the"
        " final evaluation, with draws of its own, is still to come."
    )


def _dollars(cost_usd: float | None) -> str:
    if cost_usd is None:
        return "cost unknown"
    return f"${cost_usd:,.2f}" if not cost_usd or cost_usd >= 0.1 else f"${cost_usd:.4f}"


def basis(
    rollouts: Rollouts, steps: int, cost_usd: float | None, seconds: float | None, samples: int
) -> str:
    """What a verdict rests on, in a line."""
    words = [
        f"{steps:,} updates",
        f"{rollouts.trained:,} training rollouts",
        f"{rollouts.held_out:,} held-out ({samples} per prompt and evaluation)",
        _dollars(cost_usd),
    ]
    if seconds is not None:
        words.append(_time(seconds))
    return " · ".join(words)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
