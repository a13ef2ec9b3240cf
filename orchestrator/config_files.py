"""From files, environment-free flags and ``--set`` to one RunConfig, with the source of each value.

Precedence: defaults < config files in order < ``--set`` and flags. An unknown key is an error with
a suggestion, wherever it stands.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.algorithm import Clipped, Natural
from orchestrator.config import Columns, RunConfig
from shared.errors import UsageError

#: The seed's names and ours. All but ``epochs`` belong to the clipped solver.
SEED_NAMES = {
    "learningRate": "algorithm.learning_rate",
    "clipEpsilon": "algorithm.epsilon",
    "miniBatchSize": "algorithm.mini_batch_size",
    "entropyCoef": "algorithm.entropy_coef",
    "epochs": "num_epochs",
}

#: Sections of a config.
TABLES = ("algorithm", "columns", "prices", "reward_options")


class Resolved(NamedTuple):
    """A config and where each value came from, by dotted key."""

    config: RunConfig
    sources: Mapping[str, str]


def resolve(files: Sequence[Path], settings: Sequence[tuple[str, str, Any]]) -> Resolved:
    """The config of files and of (dotted key, source, value) settings, later ones winning.

    Raises UsageError naming the source of what is wrong.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for file in files:
        for key, value in flatten(_read(file)):
            values[key], sources[key] = value, str(file)
    for key, source, value in settings:
        values[key], sources[key] = value, source
    if any(key.startswith("algorithm.") for key in values) and "algorithm.solver" not in values:
        values["algorithm.solver"] = "natural"
    config = _validate(values, sources)
    if files and config.user_functions() and not config.code_dir:
        # Also from elsewhere, such as a resume, they are found where the config was.
        config = config.model_copy(update={"code_dir": _from_here(files[-1].parent)})
        sources["code_dir"] = f"the folder of {files[-1]}"
    return Resolved(config, sources)


def _from_here(folder: Path) -> str:
    """A folder as a run keeps it: below the folder of the start without what is above."""
    whole, here = folder.absolute(), Path.cwd()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)


def parse_setting(text: str) -> tuple[str, str, Any]:
    """``key=value`` of ``--set``, the value read as TOML, or as text if it is none.

    Raises UsageError if there is no key.
    """
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text!r}: write --set key=value, such as --set max_steps=40")
    try:
        parsed = tomllib.loads(f"value = {raw}")
    except tomllib.TOMLDecodeError:
        parsed = {"value": raw}
    if len(parsed) > 1:
        raise UsageError(f"--set {text!r}: one key at a time; repeat --set for the others")
    value = parsed["value"]
    return key.strip(), f"--set {key.strip()}", value


def flatten(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Nested tables as dotted keys; the seed's camelCase names become ours, with its solver."""
    flat: list[tuple[str, Any]] = []
    for key, value in table.items():
        if key in TABLES and isinstance(value, dict):
            flat += [(f"{key}.{name}", inner) for name, inner in value.items()]
        elif key == "optimizerConfig" and isinstance(value, dict):
            flat += flatten(value)
        elif key in SEED_NAMES:
            solver = [("algorithm.solver", "clipped")] if "." in SEED_NAMES[key] else []
            flat += [*solver, (SEED_NAMES[key], value)]
        else:
            flat.append((key, value))
    return flat


def _read(file: Path) -> Mapping[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"config {file}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"config {file}: cannot be read ({error})") from None
    try:
        table = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise UsageError(f"config {file}: not valid {kind}: {error}") from None
    if not isinstance(table, dict):
        raise UsageError(f"config {file}: must be an object of settings")
    return table


def _validate(values: Mapping[str, Any], sources: Mapping[str, str]) -> RunConfig:
    nested: dict[str, Any] = {}
    for dotted, value in values.items():
        *tables, leaf = _path(dotted)
        _refuse_half_characters(dotted, value, sources)
        place = nested
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise UsageError(f"{sources.get(dotted, '')}: {dotted}: {table} is not a table")
        if leaf in place:
            below = next(key for key in values if key.startswith(f"{dotted}."))
            raise UsageError(f"{sources.get(below, '')}: {below}: {dotted} is not a table")
        place[leaf] = value
    try:
        return RunConfig.model_validate(nested)
    except ValidationError as error:
        raise UsageError(_sentence(error, sources)) from None


def _refuse_half_characters(dotted: str, value: Any, sources: Mapping[str, str]) -> None:
    try:
        f"{dotted}{value}".encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{sources.get(dotted, '')!a}: {dotted!a} is not UTF-8; check the terminal's encoding"
        ) from None


def _path(dotted: str) -> list[str]:
    """The tables that a key stands in, and its own name."""
    table, _, name = dotted.partition(".")
    if table == "prices" and name:
        # A model's name may hold dots, and quotes if it was typed as TOML wants it.
        return [table, name.strip("\"'")]
    return _option(dotted) if table == "reward_options" and name else dotted.split(".")


def _option(dotted: str) -> list[str]:
    """``reward_options.NAME[.OPTION]``, where NAME itself may hold dots before its colon."""
    name = dotted.removeprefix("reward_options.")
    module, colon, function = name.partition(":")
    first, _, rest = (function if colon else module).partition(".")
    return ["reward_options", module + colon + first if colon else first, *([rest] if rest else [])]


def _sentence(error: ValidationError, sources: Mapping[str, str]) -> str:
    sentences = []
    for fault in error.errors():
        place = [str(part) for part in fault["loc"] if part not in {"natural", "clipped"}]
        dotted = ".".join(place)
        source = _place(dotted, sources)
        if fault["type"] == "extra_forbidden":
            sentences.append(f"{source}: unknown key {dotted!r}{_suggestion(dotted)}")
        elif dotted:
            given = json.dumps(fault["input"], ensure_ascii=False, default=repr)
            sentences.append(f"{source}: {dotted} = {given}: {_in_words(fault)}")
        else:
            sentences.append(f"config: {fault['msg'].removeprefix('Value error, ')}")
    return "\n".join(sentences)


#: pydantic's kinds of fault, in words of TOML and JSON.
_WORDS = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table, such as { key = 1 }",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "model_type": "must be a table, such as { key = 1 }",
    "string_type": "must be a text, in quotes",
    "missing": "the list is too short",
    "too_short": "the list is too short",
    "union_tag_invalid": "solver must be 'natural' or 'clipped'",
    "tuple_type": 'must be a list, such as ["one", "two"]',
}

_BRIEF = (
    ("Input should be", "must be"),
    ("String should", "must"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
)


def _in_words(fault: ErrorDetails) -> str:
    known = _WORDS.get(fault["type"])
    message = fault["msg"].removeprefix("Value error, ")
    for long, brief in _BRIEF:
        message = message.replace(long, brief)
    return known or message


def _place(dotted: str, sources: Mapping[str, str]) -> str:
    """Where a key was set: itself, the value that it is part of, or a part of it."""
    words = dotted.split(".")
    for size in range(len(words), 0, -1):
        if (known := ".".join(words[:size])) in sources:
            return sources[known]
    below = (where for key, where in sources.items() if dotted and key.startswith(f"{dotted}."))
    return next(below, "config")


def _suggestion(dotted: str) -> str:
    known = known_keys()
    leaf = dotted.rpartition(".")[2]
    if dotted.startswith("algorithm.") and (owner := _owner(leaf)):
        return f"; it belongs to algorithm.solver = {owner!r}"
    near = difflib.get_close_matches(dotted, known, n=1, cutoff=0.6) or [
        key for key in known if key.rpartition(".")[2] == leaf
    ]
    return f"; did you mean {near[0]!r}?" if near else "; see: orchestrator run --dry-run"


def _owner(leaf: str) -> str | None:
    for solver, model in (("natural", Natural), ("clipped", Clipped)):
        if leaf in model.model_fields:
            return solver
    return None


def known_keys() -> list[str]:
    """Every dotted key that a config may hold, but for the names of reward options."""
    solver_keys = [
        *Natural.model_fields,
        *(k for k in Clipped.model_fields if k not in Natural.model_fields),
    ]
    return [
        *(key for key in RunConfig.model_fields if key not in {"algorithm", "columns"}),
        *(f"algorithm.{key}" for key in solver_keys),
        *(f"columns.{key}" for key in Columns.model_fields),
    ]


def dry_run_lines(resolved: Resolved) -> list[tuple[str, str, str]]:
    """(key, value, source) of every knob, for ``--dry-run``."""
    dump = resolved.config.model_dump(mode="json")
    sections = {name: dump.pop(name) for name in ("columns", "algorithm")}
    nested = (
        (f"{name}.{key}", inner) for name in sections for key, inner in sections[name].items()
    )
    rows = [*dump.items(), *nested]
    return [(key, json.dumps(value), _source_of(key, resolved.sources)) for key, value in rows]


def _source_of(key: str, sources: Mapping[str, str]) -> str:
    if key in sources:
        return sources[key]
    return next((where for name, where in sources.items() if name.startswith(key + ".")), "default")
