"""Settings that differ from their defaults, how to run again, and what makes runs alike."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.algorithm import Clipped, Natural
from orchestrator.config import RunConfig
from orchestrator.config_files import flatten
from orchestrator.report.html.facts import File, Reproduction, Setting
from orchestrator.report.html.plain_text import line
from orchestrator.run_directory import RunDirectory
from shared.errors import UsageError

#: Where a run lies and what it is called change nothing in it.
ONLY_NAMES = ("name", "runs_dir")
#: Flags of ``orchestrator run``, by key.
FLAGS = {
    "data": "--data",
    "heldout": "--heldout",
    "domains": "--domain",
    "model": "--model",
    "judge_models": "--judge",
    "max_steps": "--steps",
    "max_cost_usd": "--budget",
    "seed": "--seed",
}


def knobs(config: RunConfig) -> dict[str, Any]:
    """Every setting as a JSON value, by dotted key."""
    return dict(flatten(config.model_dump(mode="json")))


def changed(config: RunConfig) -> Iterator[Setting]:
    """The knobs that are not at the default of their solver."""
    solver = Clipped() if isinstance(config.algorithm, Clipped) else Natural()
    defaults = knobs(RunConfig(algorithm=solver))
    defaults["algorithm.solver"] = Natural().solver
    for key, value in knobs(config).items():
        if value != defaults.get(key) and key not in ONLY_NAMES:
            default = json.dumps(defaults[key]) if key in defaults else "not set"
            yield Setting(key, line(json.dumps(value), 400), default, _meaning(config, key))


def _meaning(config: RunConfig, key: str) -> str:
    section, _, leaf = key.partition(".")
    fields = type(config.algorithm if section == "algorithm" else config).model_fields
    name = leaf if section == "algorithm" else section
    return " ".join((fields[name].description or "").split()) if name in fields else ""


def reproduction(directory: RunDirectory, config: RunConfig) -> Reproduction:
    """How the same run is made again. ``config`` names the files that the run was given."""
    kept = kept_inputs(directory)
    files = [
        File(role, line(entry.get("path"), 300), str(entry.get("sha256")))
        for role, entry in kept.items()
    ]
    environment = _json(directory, "environment.json")
    return Reproduction(
        command=" ".join(["orchestrator run", *_words(config)]),
        from_copies=" ".join(
            ["orchestrator run", shlex.quote(str(directory.path / "config.json")),
             *_copies(directory, kept, config)]
        ),
        files=tuple(files),
        environment=tuple((line(name, 40), line(of, 80)) for name, of in environment.items()),
    )  # fmt: skip


def _words(config: RunConfig) -> Iterator[str]:
    values = {setting.key: knobs(config)[setting.key] for setting in changed(config)}
    for key, flag in FLAGS.items():
        if key in values:
            value = values.pop(key)
            for each in value if isinstance(value, list) else [value]:
                yield f"{flag} {shlex.quote(str(each))}"
    for key, value in values.items():
        if value is not None:
            yield f"--set {shlex.quote(f'{key}={_toml(value)}')}"


def _toml(value: Any) -> str:
    """A JSON value as TOML writes it: only tables differ."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


def _copies(directory: RunDirectory, kept: Mapping[str, Any], config: RunConfig) -> Iterator[str]:
    copies = {role: str(directory.path / str(entry.get("copy"))) for role, entry in kept.items()}
    for role, flag in (("train", "--data"), ("heldout", "--heldout")):
        if role in copies:
            yield f"{flag} {shlex.quote(copies[role])}"
    if any(role.startswith("domain-") for role in copies):
        for number, ref in enumerate(config.domains):
            yield f"--domain {shlex.quote(copies.get(f'domain-{number}', ref))}"
    if "rubric" in copies:
        yield f"--set {shlex.quote('rubric=' + json.dumps(copies['rubric']))}"


def kept_inputs(directory: RunDirectory) -> dict[str, Any]:
    """Role -> what the run has kept of the file; nothing if that is lost."""
    return _json(directory, "inputs.json")


def _json(directory: RunDirectory, name: str) -> dict[str, Any]:
    try:
        found = directory.read_json(name)
    except UsageError:
        return {}
    return found if isinstance(found, dict) else {}
