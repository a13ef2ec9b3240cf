"""A policy as one file: exported, described by a schema, read by another language."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator import Policy
from orchestrator.data import BUILTIN_HELDOUT, BUILTIN_TRAIN, load
from orchestrator.policy_document import schema
from shared.errors import UsageError
from tests.languages import LANGUAGES
from tests.running import ROOT, Ended, Finished, orchestrator
from tests.trained_policies import policy_file, untrained

SCHEMA = ROOT / "docs" / "policy.schema.json"


def exported(folder: Path, *words: str) -> Finished:
    name = f"command{len(list(folder.glob('*.err')))}"
    return orchestrator("export", *words, cwd=folder, name=name)


def texts_of(policy: Policy) -> list[str]:
    """The built-in prompts that the policy can plan."""
    found = []
    for example in (*load(BUILTIN_TRAIN).examples, *load(BUILTIN_HELDOUT).examples):
        try:
            policy.plan(example.text)
        except UsageError:
            continue
        found.append(example.text)
    return found


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))

    assert published == schema(), (
        "orchestrator export --format schema -o docs/policy.schema.json --force"
    )


def test_a_runs_policy_is_exported_as_it_is_and_fits_the_schema(
    small_run: Ended, workplace: Path
) -> None:
    shutil.copytree(small_run.folder / "runs", workplace / "runs", symlinks=True)

    ended = exported(workplace, "latest", "-o", "mine.json", "--json")

    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["file"], told["policy_version"], len(told["domains"])) == ("mine.json", 4, 3)
    assert (workplace / "mine.json").read_bytes() == small_run.policy
    jsonschema.validate(
        json.loads((workplace / "mine.json").read_text("utf-8")),
        json.loads(SCHEMA.read_text("utf-8")),
    )


def test_a_file_is_not_replaced_unless_told(workplace: Path) -> None:
    policy_file(workplace)
    (workplace / "precious.txt").write_text("mine", encoding="utf-8")

    refused = exported(workplace, "policy.json", "--format=prompt", "-o", "precious.txt")
    assert (refused.code, refused.out) == (2, "")
    assert "--force" in refused.err
    assert (workplace / "precious.txt").read_text(encoding="utf-8") == "mine"

    forced = exported(workplace, "policy.json", "--format=prompt", "-o", "precious.txt", "--force")
    assert forced.code == 0, forced.err
    assert "[YOUR TEXT]" in (workplace / "precious.txt").read_text(encoding="utf-8")


def test_the_prompts_to_copy_are_the_greedy_ones(workplace: Path) -> None:
    policy = Policy.load(policy_file(workplace))

    shown = exported(workplace, "policy.json", "--format", "prompt").out

    for domain in policy.domains:
        # About the domain as a whole: the topic is the domain's name.
        system, user = policy.plan(f"[YOUR TEXT] {domain}", greedy=True, domain=domain).messages
        words = user["content"].replace(f"[YOUR TEXT] {domain}", "[YOUR TEXT]", 1)
        assert f"## {domain}\n\n{system['content']}\n\n{words}\n" in shown


def test_the_javascript_of_the_docs_reads_what_python_plans(workplace: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed here")
    many = [domain for domain, _, _ in LANGUAGES.values()]
    policies = {
        "policy.json": Policy.load(policy_file(workplace)),
        "many.json": untrained(many),
        "one.json": untrained(many[:1]),
    }
    page = (ROOT / "docs" / "use.md").read_text(encoding="utf-8")
    (reader,) = re.findall(r"^```js\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (workplace / "reader.mjs").write_text(reader, encoding="utf-8")
    texts = {
        "policy.json": [
            *texts_of(policies["policy.json"]),
            "QUBITS, and a neural network!",
            "量子 quantum computing normalisations",
        ],
        "many.json": [text for _, said, _ in LANGUAGES.values() for text in said],
        "one.json": [text for _, _, others in LANGUAGES.values() for text in others],
    }

    for name, policy in policies.items():
        (workplace / name).write_text(policy.exported().model_dump_json())
        read = subprocess.run(
            [node, "reader.mjs", name, *texts[name]],
            cwd=workplace,
            capture_output=True,
            text=True,
            check=True,
        )
        said: list[Any] = [json.loads(line) for line in read.stdout.splitlines()]
        assert said == [policy.plan(text, greedy=True).messages for text in texts[name]]
    assert len(texts["policy.json"]) > 80


def test_a_run_that_was_interrupted_has_the_policy_of_its_last_step(
    small_run: Ended, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_run.folder / "runs", workplace / "runs", symlinks=True)
    run = Ended(small_run.how, workplace).run
    (run / "policy.json").unlink()
    monkeypatch.chdir(workplace)

    policy = Policy.load("latest")

    assert policy.exported().model_dump(mode="json") == json.loads(small_run.policy)
