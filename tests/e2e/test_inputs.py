"""What people feed the command with: files in any form that is right, and none that is wrong."""

import csv
import io
import json
from pathlib import Path

import pytest

from tests.bad_configs import BAD_CONFIGS, BadConfig
from tests.bad_inputs import BAD_INPUTS, BadInput
from tests.commanding import Answer, Command
from tests.running import json_lines, only_run, orchestrator

#: So that a file that is taken by mistake costs little time.
QUICK = ("--steps=1", "--set=eval_samples=1", "--set=eval_interval=0")
PROMPTS = (
    "Explain quantum computing, qubits first",
    'What does "superposition" mean?\nAnswer in two lines.',
    "Why do quantum computers need error correction?",
    "Tell me about machine learning; briefly",
    "How does overfitting harm machine learning?",
    "What are neural networks?",
    "Explain backpropagation in neural networks",
    "Erkläre quantum computing → für Anfänger 🧊",
)


#: Where the command refuses a file by its name before it is read.
SAID_OF_THE_NAME = {"domain-suffix": "for your own name a .toml or .json file"}


def records() -> list[dict[str, object]]:
    return [{"text": text, "reference": None, "level": n % 3} for n, text in enumerate(PROMPTS)]


def as_csv(newline: str = "\n") -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator=newline)
    writer.writerow(["text", "reference", "level"])
    writer.writerows([text, f'A "good", long\nreference {n}', n] for n, text in enumerate(PROMPTS))
    return table.getvalue()


def seed_json() -> str:
    """The shape of the project that this one follows."""
    return json.dumps([
        {"input": {"text": text}, "output": {"generated": "Some answer.", "quality": 0.95}}
        for text in PROMPTS
    ])  # fmt: skip


GOOD_FILES = {
    "seed.json": seed_json().encode(),
    "flat.json": json.dumps(records()).encode(),
    "lines.jsonl": "".join(json.dumps(row) + "\n" for row in records()).encode(),
    "lines-crlf.jsonl": "".join(json.dumps(row) + "\r\n" for row in records()).encode(),
    "lines-bom.jsonl": "".join(json.dumps(row) + "\n" for row in records()).encode("utf-8-sig"),
    "table.csv": as_csv().encode(),
    "table-crlf.csv": as_csv("\r\n").encode(),
    "table-bom-crlf.csv": as_csv("\r\n").encode("utf-8-sig"),
    "json-crlf-bom.json": json.dumps(records(), indent=1).replace("\n", "\r\n").encode("utf-8-sig"),
}


@pytest.mark.parametrize("name", GOOD_FILES)
def test_data_in_every_form_is_read_whole(command: Command, workplace: Path, name: str) -> None:
    (workplace / name).write_bytes(GOOD_FILES[name])

    answer = command("run", "--data", name, "--dry-run")

    assert answer.code == 0, answer.err
    assert "data     6 prompts · held out 2\n" in answer.err
    assert not (workplace / "runs").exists()


def test_ten_thousand_rows_are_read_whole(command: Command, workplace: Path) -> None:
    rows = [{"text": f"Question {n}: {PROMPTS[n % 8]}"} for n in range(10_000)]
    (workplace / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    answer = command("run", "--data", "many.jsonl", "--dry-run", "--set=num_epochs=1")

    assert answer.code == 0, answer.err
    assert "data     7500 prompts · held out 2500\n" in answer.err
    assert "plan     938 steps x 8 prompts" in answer.err


def test_the_seeds_domain_and_data_files_work_together(command: Command, workplace: Path) -> None:
    domain = {
        "keywords": ["yeast", "flour", "oven heat"],
        "templates": ["Bread needs {concept}.", "For {topic}, mind {concept} and {feature}."],
        "relationships": {"yeast": ["rising"], "flour": ["gluten"], "oven heat": ["crust"]},
    }
    (workplace / "baking.json").write_text(json.dumps(domain))
    rows = [{"input": {"text": f"Tell me about {word}"}} for word in domain["keywords"]] * 2
    (workplace / "data.json").write_text(json.dumps(rows))

    answer = command("run", "--data=data.json", "--domain=baking.json", "--dry-run")

    assert answer.code == 0, answer.err
    assert "domains  baking: 3 concepts, 2 templates" in answer.err


def test_a_csv_with_commas_quotes_and_newlines_trains(workplace: Path) -> None:
    (workplace / "table.csv").write_bytes(GOOD_FILES["table-bom-crlf.csv"])

    ended = orchestrator(
        "run", "--data=table.csv", "--steps=1", "--set=eval_samples=1", cwd=workplace
    )

    assert ended.code == 0, ended.err
    run = only_run(workplace)
    rollouts = json_lines((run / "rollouts.jsonl").read_text(encoding="utf-8"))
    assert {row["prompt"] for row in rollouts} <= set(PROMPTS)
    assert {row["prompt"] for row in rollouts if row["purpose"] == "train"} & set(PROMPTS[:2])
    assert (run / "inputs" / "train.csv").read_bytes() == GOOD_FILES["table-bom-crlf.csv"]


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=lambda bad: bad.name)
def test_a_bad_file_is_refused_before_anything_starts(
    command: Command, workplace: Path, bad: BadInput
) -> None:
    (workplace / bad.filename).write_bytes(bad.content)

    answer = command("run", f"--{bad.kind}", bad.filename, *QUICK)

    assert_refused(answer, SAID_OF_THE_NAME.get(bad.name, bad.fragment), workplace)


@pytest.mark.parametrize("bad", BAD_CONFIGS, ids=lambda bad: bad.name)
def test_a_bad_config_is_refused_before_anything_starts(
    command: Command, workplace: Path, bad: BadConfig
) -> None:
    for name, text in bad.files.items():
        (workplace / name).write_text(text)

    resuming = any(argument.startswith("--resume") for argument in bad.arguments)
    answer = command("run", *(() if resuming else QUICK), *bad.arguments)

    assert_refused(answer, bad.fragment, workplace)


def test_a_malformed_redis_url_in_the_environment_is_refused_and_hides_its_password(
    command: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://me:secret@localhost:port/0")

    answer = command("run", *QUICK)

    assert_refused(answer, "REDIS_URL 'redis://***@localhost:port/0' is not the", workplace)


@pytest.mark.parametrize("name", ["csv-quote", "template-attribute", "deep"])
def test_the_installed_command_refuses_bad_files_in_the_same_way(
    workplace: Path, name: str
) -> None:
    (bad,) = (bad for bad in BAD_INPUTS if bad.name == name)
    (workplace / bad.filename).write_bytes(bad.content)

    ended = orchestrator("run", f"--{bad.kind}", bad.filename, cwd=workplace)

    assert_refused(Answer(*ended), bad.fragment, workplace)


def test_a_custom_reward_that_no_worker_finds_is_refused_and_leaves_nothing(
    workplace: Path,
) -> None:
    ended = orchestrator(
        "run", '--set=reward_funcs=["my_rewards:good"]', "--steps=1", cwd=workplace
    )

    assert_refused(Answer(*ended), "cannot import module 'my_rewards'", workplace)


def assert_refused(answer: Answer, fragment: str, folder: Path) -> None:
    """Exit 2, one sentence that says what is wrong, no traceback, nothing left behind."""
    assert answer.code == 2, answer
    assert answer.out == ""
    assert fragment in answer.err
    lines = answer.err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    runs = folder / "runs"
    assert [path for path in runs.rglob("*") if runs.is_dir()] == []
