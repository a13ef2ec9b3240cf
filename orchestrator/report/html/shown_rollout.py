"""A row of ``rollouts.jsonl`` as a page shows it: whole, but for very long texts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.report.html.charts.scales import seconds
from orchestrator.report.html.facts import Shown
from orchestrator.report.html.plain_text import line, text
from shared.messages import ChatMessage

#: Characters of a text, and of what stands beside it, that a report shows.
TEXT, BESIDE = 4_000, 600
#: Concepts, features and parts of one rollout that a report names.
NAMED = 20


def shown(
    row: Mapping[str, Any], rank: str, trained: bool, messages: Sequence[ChatMessage] = ()
) -> Shown:
    """The row, and the messages that were sent, as a report shows them."""
    completion, failure = row["completion"] or {}, row["failure"]
    template = row["template"]
    return Shown(
        rank=rank,
        trained=trained,
        step=int(row.get("update", row["step"])),
        domain=line(row["domain"], 80),
        prompt=text(row["prompt"], BESIDE),
        messages=tuple((each.role, text(each.content, TEXT)) for each in messages),
        text=text(completion.get("text") or "", TEXT),
        feedback=text(row["feedback"] or "", BESIDE),
        reward=row["reward"],
        parts={line(name, 60): float(part) for name, part in _first((row["parts"] or {}).items())},
        concepts=_names(row["concepts"]),
        template=None if template is None else template + 1,
        features=_names(row["features"]),
        details=tuple(_details(row, completion)),
        failure=f"{line(failure['kind'], 40)}: {line(failure['message'], 300)}"
        if failure
        else None,
    )


def _details(row: Mapping[str, Any], completion: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "id", line(f"s{row['step']:03d} {row['group']} k{row['slot']}", 80)
    yield "policy version", str(row["policy_version"])
    yield "log-probability", f"{row['log_prob']:.3f}"
    if row["advantage"] is not None:
        yield "advantage", f"{row['advantage']:+.3f}"
    if not completion:
        return
    yield "model", line(completion["model"], 80)
    if completion["provider"] and completion["provider"] != completion["model"]:
        yield "provider", line(completion["provider"], 60)
    yield "tokens", f"{completion['prompt_tokens']} in, {completion['completion_tokens']} out"
    if completion["cost_usd"]:
        yield "cost", f"${completion['cost_usd']:.6f}"
    attempts = completion["attempts"]
    yield "time", seconds(completion["seconds"]) + (f" in {attempts} attempts" * (attempts > 1))
    yield "finish", line(completion["finish_reason"], 30)
    if row["judged"]:
        yield "judged", ", ".join(f"{score:.2f}" for score in row["judged"][:NAMED])
    if row["rejudged"]:
        yield "judged again", ", ".join(f"{score:.2f}" for score in row["rejudged"][:NAMED])


def _names(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(line(value, 80) for value in values[:NAMED])


def _first(items: Any) -> list[Any]:
    return list(items)[:NAMED]
