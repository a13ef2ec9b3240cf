"""``orchestrator init`` as people type it: what it makes runs, and it overwrites nothing."""

import json
from pathlib import Path

import pytest

from tests.commanding import Command
from tests.running import only_run, orchestrator


def test_what_init_makes_runs_as_it_is(command: Command, workplace: Path) -> None:
    made = command("init", "tax-law")

    assert made.code == 0, made.err
    assert "next  cd tax-law && orchestrator run run.toml" in made.err
    folder = workplace / "tax-law"
    ended = orchestrator("run", "run.toml", cwd=folder)
    assert ended.code == 0, ended.err
    assert "domains  tax law: 7 concepts, 4 templates" in ended.err
    assert "gives_an_example 20%" in ended.out
    assert "IMPROVED" in ended.out
    checked = orchestrator(
        "data", "check", "train.jsonl", "heldout.jsonl", "--domain=domain.toml", cwd=folder
    )
    assert checked.code == 0
    assert "overlap    0 prompts" in checked.out
    assert only_run(folder).name.startswith("tax-law--template--")


def test_init_overwrites_nothing(command: Command, workplace: Path) -> None:
    (workplace / "notes.txt").write_text("mine")

    refused = command("init", ".", "--domain-name", "tax law")
    forced = command("init", ".", "--domain-name", "tax law", "--force", "--json")
    again = command("init", ".", "--domain-name", "tax law", "--force")

    assert refused.code == 2
    assert "is not empty (notes.txt)" in refused.err
    assert forced.code == 0, forced.err
    assert "run.toml" in json.loads(forced.out)["files"]
    assert again.code == 2
    assert "run.toml, domain.toml" in again.err
    assert "would be overwritten" in again.err
    assert (workplace / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "...", "a\nb\x00", "x" * 61])
def test_init_refuses_a_name_that_no_prompt_can_say(
    command: Command, workplace: Path, name: str
) -> None:
    answer = command("init", "new", "--domain-name", name)

    assert answer.code == 2
    assert not (workplace / "new").exists()


@pytest.mark.parametrize("name", ['the "new" law', "Recht & Steuern über 3 €", "日本の税"])
def test_init_writes_any_name_so_that_it_can_be_read(
    command: Command, workplace: Path, name: str
) -> None:
    assert command("init", "new", "--domain-name", name).code == 0

    files = ("new/train.jsonl", "new/heldout.jsonl", "--domain=new/domain.toml")
    answer = command("data", "check", *files, "--json")

    assert answer.code == 0, answer.out
    assert json.loads(answer.out)["files"][0]["domains"] == {name: 24}
