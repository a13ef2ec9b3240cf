"""A run directory -> ``Facts``. What cannot be read is left out and said in a note."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from orchestrator.budget import known_usd
from orchestrator.config import RunConfig, config_of_run
from orchestrator.evaluation import Evaluation
from orchestrator.inputs import prepare
from orchestrator.paired import Comparison, compare
from orchestrator.report.answers import ANSWERS_OF, answers_line
from orchestrator.report.explain import explanation, instrument_lines
from orchestrator.report.html import measured, reproduction
from orchestrator.report.html.facts import Facts, Moved, Role
from orchestrator.report.html.plain_text import line
from orchestrator.report.html.probabilities import moved
from orchestrator.report.html.rollout_scan import scan
from orchestrator.report.html.sent_messages import sent_messages
from orchestrator.report.html.verdict import basis, verdict
from orchestrator.run_directory import RunDirectory
from orchestrator.run_identity import identity
from orchestrator.run_result import result_of
from orchestrator.stored_run import StoredRun, stored_run, with_copies
from shared.errors import UsageError

ROLES = ("generate", "judge", "eval")
#: Of ``rollouts.jsonl``, what effects are estimated from: some 20,000 rollouts in 300 MB.
NEWEST_BYTES = 32 * 2**20


class _Learnt(NamedTuple):
    """What only a run with at least one step and readable rollouts has."""

    moved: Mapping[str, tuple[Moved, ...]]
    explained: Mapping[str, Any] | None
    notes: tuple[str, ...]


def collect(directory: RunDirectory, stopped: str | None = None) -> Facts:
    """Everything that a report says of a run; ``stopped`` is why it has not ended, if known.

    Raises UsageError if the directory is no run's, or its inputs cannot be read any more.
    """
    config = _config(directory)
    inputs = prepare(with_copies(config, directory))
    rows, ended = measured.steps(directory), _ended(directory)
    spent = measured.costs(rows)
    rollouts = scan(directory.path / "rollouts.jsonl", spent, sent_messages(inputs))
    found = measured.evaluations(directory)
    final = found.final if ended is not None else None
    heldout = _against(found.initial, final)
    gains = tuple(measured.gains(found, spent))
    learnt = _learnt(directory)
    roles = tuple(_roles(ended, rows))
    cost_usd = _known_usd(roles, ended, rows)
    steps = rows[-1]["step"] if rows else 0
    seconds = _seconds(directory, ended)
    why = _why(ended, stopped)
    plain = _against(found.plain, final)
    newest = gains[-1] if gains else None
    said = verdict(heldout, newest, ended, why, plain, has_plain=bool(config.model))
    return Facts(
        run=directory.name,
        model=line(config.model or "template engine"),
        judges=tuple(line(judge) for judge in config.judge_models),
        rewards=_shares(config),
        verdict=said._replace(basis=basis(rollouts, steps, cost_usd, seconds, config.eval_samples)),
        steps_done=steps,
        steps_planned=inputs.steps,
        seconds=seconds,
        stopped=why,
        heldout=heldout,
        against_plain=plain,
        so_far=None if final else _against(found.initial, found.newest),
        measures=tuple(measured.measures(inputs, found)),
        evaluations=tuple(measured.level(e, spent) for e in found.policy),
        plain=measured.level(found.plain, spent) if found.plain else None,
        gains=gains,
        final_rewards=final.rewards if final else {},
        series=measured.series(rows),
        moved=learnt.moved,
        explained=learnt.explained,
        instrument=tuple(_instrument(learnt.explained)),
        roles=roles,
        cost_usd=cost_usd,
        faults=(ended or {}).get("cost", {}).get("faults", {}),
        rollouts=rollouts,
        alarms=tuple(_alarms(directory)),
        skipped=tuple(line(example.source, 300) for example in inputs.unmatched),
        settings=tuple(reproduction.changed(config)),
        config={key: line(str(value), 400) for key, value in reproduction.knobs(config).items()},
        reproduction=reproduction.reproduction(directory, config),
        identity=identity(config, reproduction.kept_inputs(directory)),
        notes=learnt.notes,
        answers=_answers(found.initial, final),
    )


def _config(directory: RunDirectory) -> RunConfig:
    try:
        return config_of_run(directory.read_json("config.json"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(
            f"{directory.path}: config.json is not what a run wrote: {place}: {first['msg']}"
        ) from None


def _ended(directory: RunDirectory) -> Mapping[str, Any] | None:
    with contextlib.suppress(UsageError):
        return result_of(directory)
    return None


def _seconds(directory: RunDirectory, ended: Mapping[str, Any] | None) -> float | None:
    """How long it took; None if it was resumed: a result only knows the time since then."""
    resumed = (directory.path / "logs" / "attempt_2").exists()
    return ended.get("seconds") if ended and not resumed else None


def _why(ended: Mapping[str, Any] | None, stopped: str | None) -> str | None:
    told = (ended or {}).get("stopped")
    return line(told["sentence"], 400) if told else stopped and line(stopped, 400)


def _against(before: Any, after: Any) -> Comparison | None:
    return compare(before.rewards, after.rewards) if before and after else None


def _answers(initial: Evaluation | None, final: Evaluation | None) -> str:
    kept = {"initial": initial and initial.answers, "final": final and final.answers}
    return answers_line({k: each._asdict() for k, each in kept.items() if each}, ANSWERS_OF)


def _shares(config: RunConfig) -> dict[str, float]:
    total = sum(config.rewards().values())
    return {line(name, 60): weight / total for name, weight in config.rewards().items()}


def _learnt(directory: RunDirectory) -> _Learnt:
    """The effects come from the newest rollouts: a million of them would fill the memory."""
    try:
        stored = stored_run(directory, NEWEST_BYTES)
        notes = _newest_only(directory, stored)
        probabilities = moved(directory, stored.inputs, stored.start, stored.now)
        return _Learnt(probabilities, explanation(stored), tuple(notes))
    except UsageError as error:
        return _Learnt({}, None, (line(error, 300),))


def _newest_only(directory: RunDirectory, stored: StoredRun) -> Iterator[str]:
    size = (directory.path / "rollouts.jsonl").stat().st_size if stored.batches else 0
    if size > NEWEST_BYTES:
        groups = sum(len(batch.groups) for batch in stored.batches)
        yield (
            f"Effects are those of the newest {groups:,} groups; “orchestrator explain"
            f" {directory.name}” reads all."
        )


def _instrument(explained: Mapping[str, Any] | None) -> Iterator[str]:
    if explained and explained["instrument"]:
        for told in instrument_lines(explained["instrument"]):
            yield " ".join(told.split())


def _roles(ended: Mapping[str, Any] | None, rows: measured.Rows) -> Iterator[Role]:
    """From the result; of a run that has not ended, from its last step."""
    cost = (ended or {}).get("cost", {})
    for role in ROLES:
        if "calls" in cost:
            kinds = (cost[kind][role] for kind in ("calls", "spent", "estimated", "perhaps"))
            yield Role(role, *kinds)
        elif rows:
            yield Role(role, None, measured.dollars(rows[-1], role), 0.0, 0.0)


def _known_usd(
    roles: Sequence[Role], ended: Mapping[str, Any] | None, rows: measured.Rows
) -> float | None:
    total = sum(role.named_usd + role.estimated_usd for role in roles)
    if ended is not None:
        unknown = ended.get("cost", {}).get("unknown", {})
        return known_usd(total, unknown, {r.role: r.estimated_usd + r.perhaps_usd for r in roles})
    return None if rows and not total and rows[-1].get("cost/unpriced_calls") else total


def _alarms(directory: RunDirectory) -> Iterator[tuple[int, str]]:
    for row in directory.lines("metrics.jsonl"):
        if isinstance(row, dict) and "alarm" in row and isinstance(row.get("step"), int):
            yield row["step"], line(row.get("words", ""), 500)
