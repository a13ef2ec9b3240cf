"""How often each concept, template and feature is asked for, over policy versions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator import policy
from orchestrator.inputs import Inputs
from orchestrator.report.html.facts import Moved
from orchestrator.report.html.jsonl_rows import offset_rows, rows_at
from orchestrator.report.html.plain_text import line
from orchestrator.rollouts import Params, Weights
from orchestrator.run_directory import RunDirectory
from orchestrator.store import decode_params

#: Versions of a domain's policy that are drawn.
VERSIONS = 40
#: Choices of a domain that are followed; more are only known at their start and end.
CHOICES = 400

Versions = list[tuple[int, Params]]


def moved(
    directory: RunDirectory, inputs: Inputs, start: Weights, now: Weights
) -> dict[str, tuple[Moved, ...]]:
    """Domain -> each of its choices: concepts, then templates, then features."""
    acted = _acted(directory.path / "policies.jsonl", tuple(inputs.domains))
    found = {}
    for name in inputs.domains:
        ends = [(0, start.domains[name].params), (now.version, now.domains[name].params)]
        versions = dict([*ends[:1], *acted[name], *ends[1:]])
        found[name] = tuple(_choices(inputs, name, sorted(versions.items())))
    return found


def _acted(path: Path, domains: Sequence[str]) -> Mapping[str, Versions]:
    """The params of some versions, evenly spread: those of ten thousand fill no memory."""
    places: dict[str, list[int]] = {name: [] for name in domains}
    for offset, row in offset_rows(path):
        # As ``stored_batches`` has found them to be.
        if str(row["domain"]) in places:
            places[str(row["domain"])].append(offset)
    found: dict[str, Versions] = {}
    for name, offsets in places.items():
        step = max(1, -(-len(offsets) // VERSIONS))
        found[name] = [
            (int(row["policy_version"]), decode_params(row["params"]))
            for row in rows_at(path, offsets[::step])
        ]
    return found


def _choices(inputs: Inputs, name: str, versions: Sequence[tuple[int, Params]]) -> Iterator[Moved]:
    domain, space = inputs.domains[name], inputs.spaces[name]
    if space.d > CHOICES:
        versions = [versions[0], versions[-1]]
    at = [float(version) for version, _ in versions]
    templates = [f"template {number}" for number in range(1, space.T + 1)]
    for kind, names, values in (
        ("concept", domain.concepts, [policy.inclusion(p, space) for _, p in versions]),
        ("template", templates, [policy.template_probabilities(p) for _, p in versions]),
        ("feature", domain.features, [policy.feature_probabilities(p, space) for _, p in versions]),
    ):
        for number, each in enumerate(names):
            points = zip(at, (float(value[number]) for value in values), strict=True)
            yield Moved(kind, line(each, 80), tuple(points))
