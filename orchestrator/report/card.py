"""The policy card: what a policy is, what it was trained on, what is known of it; in Markdown."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.paired import Comparison
from orchestrator.report.explain import decided, instrument_lines, words

#: Choices of a kind that the card names at either end.
NAMED = 5
KINDS = {"concept": "Concepts", "template": "Templates", "feature": "Features"}


def card(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the card of an explained run."""
    yield f"# Policy card: {found['run']}"
    yield ""
    yield f"- Writes: {_plain(found['model'])}"
    yield f"- Judges: {_plain(', '.join(found['judges']) or 'none')}"
    yield f"- Reward: {', '.join(_share(found['rewards']))}"
    yield f"- Updates: {found['step']}"
    yield ""
    yield "## Does it help?"
    yield ""
    yield from _help(found)
    for domain in found["domains"]:
        yield ""
        yield from _domain(domain)
    yield ""
    yield "## How far to trust the reward"
    yield ""
    instrument = list(instrument_lines(found["instrument"]))
    for line in instrument:
        yield f"- {_plain(' '.join(line.split()))}"
    for alarm in found["alarms"]:
        yield f"- **Alarm** (step {alarm['step']}): {_plain(alarm['words'])}"
    if not instrument and not found["alarms"]:
        yield "- Nothing was measured beside the reward itself."
    yield ""
    yield (
        "Effects are those under this model, judge and reward, for prompts like those trained on."
        " Another model needs another run."
    )


def _share(rewards: Mapping[str, float]) -> list[str]:
    total = sum(rewards.values())
    return [f"{_plain(name)} {weight / total:.0%}" for name, weight in rewards.items()]


def _help(found: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        ("held-out reward, against the initial policy", found["heldout"]),
        ("held-out reward, against the prompt without concepts", found["heldout_vs_plain"]),
        *(
            (f"{_plain(name)} (not in the reward)", metric)
            for name, metric in found["eval_metrics"].items()
        ),
    ]
    known = [(title, row) for title, row in rows if row]
    if not known:
        yield "Not known: the run has not ended, or had no held-out prompts."
        return
    if found["verdict"]:
        yield f"**{found['verdict']}**, the worst of the comparisons of the reward."
        yield ""
    yield "| | before | after | change (95% CI) | alone it shows |"
    yield "|---|--:|--:|--:|---|"
    for title, row in known:
        compared = Comparison.read(row)
        yield (
            f"| {title} | {row['before']:.3f} | {row['after']:.3f} | {row['gain']:+.3f}"
            f" [{row['low']:+.3f}, {row['high']:+.3f}] | {compared and compared.shows} |"
        )


def _domain(domain: Mapping[str, Any]) -> Iterator[str]:
    deployed = domain["deployed"]
    yield f"## {_plain(domain['domain'])}"
    yield ""
    yield f"From {domain['rollouts']:,} rollouts. Deployed:"
    yield ""
    yield f"- concepts: {_plain(', '.join(deployed['concepts']))}"
    yield f"- features: {_plain(', '.join(deployed['features']) or 'none')}"
    yield f"- template {deployed['template']}:"
    yield ""
    yield from (f"      {line}" for line in deployed["template_text"].splitlines())
    for kind, title in KINDS.items():
        own = [choice for choice in domain["choices"] if choice["kind"] == kind]
        clear = [choice for choice in own if decided(choice["effect"])]
        shown = clear if len(clear) <= 2 * NAMED else [*clear[:NAMED], *clear[-NAMED:]]
        yield ""
        if not shown:
            yield f"{title}: no clear effect."
            continue
        yield f"| {title} | asked for, start -> now | effect (95% CI) | rollouts |"
        yield "|---|--:|--:|--:|"
        for choice in shown:
            yield (
                f"| {_plain(choice['name'])} | {choice['start']:.2f} -> {choice['now']:.2f} |"
                f" {words(choice['effect'])} | {choice['rollouts']:,} |"
            )
    for pair in domain["pairs"][:NAMED]:
        yield ""
        yield f"Together, {_plain(' and '.join(pair['names']))} add {words(pair['effect'])}."


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line and in one cell."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in line)
