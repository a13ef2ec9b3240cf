"""The schemas accept what the commands accept, and refuse what they refuse."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.cli.schema import schema as schema_command
from orchestrator.config_files import known_keys
from orchestrator.data import BUILTIN_HELDOUT, BUILTIN_TRAIN
from orchestrator.domain_files import KEYS
from orchestrator.schemas import SCHEMAS
from tests.bad_inputs import BAD_INPUTS
from tests.commanding import Command

BUILTIN = BUILTIN_TRAIN.parents[1]


def valid(what: str, value: Any) -> bool:
    return bool(Draft202012Validator(SCHEMAS[what]()).is_valid(value))


@pytest.mark.parametrize("what", SCHEMAS)
def test_each_schema_is_one_and_is_printed(what: str, command: Command) -> None:
    answer = command("schema", what)

    assert answer.code == 0
    printed = json.loads(answer.out)
    Draft202012Validator.check_schema(printed)
    assert printed == SCHEMAS[what]()


def test_the_command_knows_every_schema() -> None:
    (argument,) = (param for param in schema_command.params if param.name == "what")

    assert list(argument.type.choices) == list(SCHEMAS)


def test_every_knob_has_its_sentence() -> None:
    schema = SCHEMAS["config"]()
    tables = {"": schema, **{f"{name}.": schema["$defs"][name] for name in schema["$defs"]}}
    silent = [
        f"{name}{key}"
        for name, table in tables.items()
        for key, knob in table["properties"].items()
        if "description" not in knob and key != "solver"
    ]
    known = {key.rpartition(".")[2] for key in known_keys()}

    assert silent == []
    assert known <= {key for table in tables.values() for key in table["properties"]}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("batch_size = 3", True),
        ('[algorithm]\nexploration = "temperature"', True),
        ('[algorithm]\nsolver = "clipped"\nadvantage = "rloo"', True),
        ('[algorithm]\nsolver = "clipped"\nlearning_rate = 0.1', True),
        ('[columns]\ntext = "question"\nkeep = ["level"]', True),
        ("learningRate = 0.05\nepochs = 2", True),
        ("bach_size = 3", False),
        ("group_size = 1", False),
        ("[algorithm]\nlearning_rate = 0.1", False),
        ('[columns]\ntxt = "question"', False),
    ],
)
def test_a_config_is_judged_as_the_command_judges_it(
    text: str, fits: bool, command: Command, workplace: Path
) -> None:
    (workplace / "run.toml").write_text(text)

    assert valid("config", tomllib.loads(text)) == fits
    assert (command("run", "run.toml", "--dry-run").code == 0) == fits


@pytest.mark.parametrize(
    "file", sorted(BUILTIN.glob("domains/*.toml")), ids=lambda file: str(file.name)
)
def test_the_built_in_domains_fit(file: Path) -> None:
    table = tomllib.loads(file.read_text(encoding="utf-8"))

    assert valid("domain", table)
    assert valid("domain", {"domains": [table]})
    assert valid("domain", {"my domain": table})
    assert not valid("domain", {"domains": [table], "name": "beside"})


def test_the_domain_schema_knows_every_key() -> None:
    assert set(SCHEMAS["domain"]()["$defs"]["domain"]["properties"]) == set(KEYS)


@pytest.mark.parametrize("file", [BUILTIN_TRAIN, BUILTIN_HELDOUT], ids=lambda file: str(file.name))
def test_the_built_in_examples_fit(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    assert [row for row in rows if not valid("data", row)] == []


def test_what_init_writes_fits(command: Command, workplace: Path) -> None:
    command("init", "new")

    rows = (workplace / "new" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(valid("data", json.loads(row)) for row in rows)
    for what, name in (("config", "run.toml"), ("domain", "domain.toml")):
        assert valid(what, tomllib.loads((workplace / "new" / name).read_text(encoding="utf-8")))


def test_bad_records_do_not_fit() -> None:
    """Of the records that loading refuses, those whose fault a schema can tell."""
    refused = 0
    for bad in BAD_INPUTS:
        if bad.kind == "data" and bad.filename.endswith(".jsonl"):
            try:
                value = json.loads(bad.content)
            except (ValueError, RecursionError):
                continue
            refused += not valid("data", value)

    assert refused >= 10
