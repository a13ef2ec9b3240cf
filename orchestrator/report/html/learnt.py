"""What a run has learnt, domain by domain, as rows and charts of a page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from orchestrator.report.explain import decided, words
from orchestrator.report.html.charts import cells
from orchestrator.report.html.facts import Facts, Moved
from orchestrator.report.html.figure import Figure
from orchestrator.report.html.plain_text import line, text
from orchestrator.report.html.run_figures import choices

#: Choices of a kind that a page shows; of more, those with a clear effect and the ends.
SHOWN = 30
PAIRS = 8
KINDS = {"concept": "Concepts", "template": "Templates", "feature": "Features"}


class Row(NamedTuple):
    """One choice."""

    name: str
    course: Markup
    start: float
    now: float
    interval: Markup
    effect: str
    decided: bool
    #: Parts of the reward that it clearly moves.
    parts: tuple[str, ...]
    rollouts: int


class Kind(NamedTuple):
    """The choices of a kind."""

    title: str
    rows: tuple[Row, ...]
    left_out: int


class Domain(NamedTuple):
    """One domain's section."""

    name: str
    rollouts: int
    noise_std: float
    deployed: Mapping[str, Any]
    figures: tuple[Figure, ...]
    kinds: tuple[Kind, ...]
    pairs: tuple[str, ...]


def domains(facts: Facts) -> Iterator[Domain]:
    """The sections; none if the rollouts could not be read back."""
    for found in (facts.explained or {}).get("domains", ()):
        moved = facts.moved.get(found["domain"], ())
        yield Domain(
            line(found["domain"], 80),
            found["rollouts"],
            found["noise_std"],
            _deployed(found["deployed"]),
            tuple(choices(found["domain"], moved)),
            tuple(_kinds(found["choices"], moved)),
            tuple(_pair(pair) for pair in found["pairs"][:PAIRS]),
        )


def _deployed(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "concepts": [line(name, 80) for name in found["concepts"]],
        "features": [line(name, 80) for name in found["features"]],
        "template": found["template"],
        "text": text(found["template_text"], 1_000).shown,
    }


def _kinds(found: Sequence[Mapping[str, Any]], moved: Sequence[Moved]) -> Iterator[Kind]:
    followed = {(each.kind, each.name): each for each in moved}
    for kind, title in KINDS.items():
        own = [choice for choice in found if choice["kind"] == kind]
        shown = _most_telling(own)
        known = [c["effect"] for c in shown if c["effect"]]
        ends = cells.reach((effect["low"], effect["high"]) for effect in known)
        rows = [_row(choice, followed, ends) for choice in shown]
        if rows:
            yield Kind(title, tuple(rows), len(own) - len(rows))


def _most_telling(own: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All of them, or those with the largest effects; in the order that they came in."""
    if len(own) <= SHOWN:
        return list(own)
    by_size = sorted(
        range(len(own)),
        key=lambda i: (not decided(own[i]["effect"]), -_size(own[i]["effect"])),
    )
    return [own[i] for i in sorted(by_size[:SHOWN])]


def _size(effect: Mapping[str, Any] | None) -> float:
    return abs(effect["value"]) if effect else -1.0


def _row(
    choice: Mapping[str, Any],
    followed: Mapping[tuple[str, str], Moved],
    ends: tuple[float, float],
) -> Row:
    name, effect = line(choice["name"], 80), choice["effect"]
    moved = followed.get((choice["kind"], name))
    start, now = choice["start"], choice["now"]
    told = f"{name}: asked for in {start:.0%} of prompts at the start, {now:.0%} now"
    interval = Markup()
    if effect:
        span = effect["value"], effect["low"], effect["high"]
        interval = cells.interval(*span, ends, f"{name}: effect {words(effect)}")
    return Row(
        name.removeprefix("template ") if choice["kind"] == "template" else name,
        cells.course(moved.points if moved else (), told),
        start,
        now,
        interval,
        words(effect),
        decided(effect),
        tuple(
            f"{line(part.rpartition(':')[2], 40)} {of['value']:+.3f}"
            for part, of in choice["parts"].items()
            if decided(of)
        ),
        choice["rollouts"],
    )


def _pair(pair: Mapping[str, Any]) -> str:
    names = " + ".join(line(name, 80) for name in pair["names"])
    return (
        f"{names}: {words(pair['effect'])} beyond their single effects, {pair['rollouts']:,}"
        " rollouts"
    )
