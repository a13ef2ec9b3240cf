"""Data from Parquet, saved datasets, the Hub's cache and standard input, under other names."""

import io
import json
import shutil
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from orchestrator.config import Columns, RunConfig
from orchestrator.data import load
from orchestrator.data_sources import short_name
from orchestrator.data_tables import HubDataset, hub_dataset
from orchestrator.inputs import prepare
from orchestrator.rollouts import Example
from orchestrator.run_directory import RunDirectory
from orchestrator.stored_run import stored_config
from shared.errors import UsageError
from tests.commanding import Command

ROWS = {
    "question": ["Explain qubits", "What are neural networks?", "How do quantum gates work?"],
    "answer": ["Two states at once.", None, "By rotating qubits."],
    "level": [1.5, float("nan"), 2.0],
    "on": [date(2026, 1, 2)] * 3,
    "price": [Decimal("1.50")] * 3,
}
QUESTIONS = Columns(text="question", reference="answer")


def table(**more: Any) -> pyarrow.Table:
    return pyarrow.table({**ROWS, **more})


@pytest.fixture
def quiz(tmp_path: Path) -> Path:
    parquet.write_table(table(), tmp_path / "quiz.parquet")
    return tmp_path / "quiz.parquet"


def json_lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_parquet_file_is_read_under_our_names_in_values_of_json(quiz: Path) -> None:
    first, second, _ = load(quiz, QUESTIONS).examples

    extra = {"level": 1.5, "on": "2026-01-02", "price": "1.50"}
    assert first == Example(
        "e001", "Explain qubits", "Two states at once.", None, extra, f"{quiz}:1"
    )
    assert (second.reference, second.extra["level"]) == (None, None)


def test_only_the_columns_that_are_kept_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pictures.parquet"
    parquet.write_table(table(picture=[b"\x00"] * 3), path)

    with pytest.raises(UsageError, match=r":1: column 'picture' holds .* JSON cannot"):
        load(path, QUESTIONS)
    kept = QUESTIONS.model_copy(update={"keep": ("level",)})
    assert load(path, kept).extra_columns == ("level",)


def test_what_is_no_parquet_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but not really")

    with pytest.raises(UsageError, match=r"bad.parquet: not a Parquet file"):
        load(tmp_path / "bad.parquet")
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "missing.parquet")


@pytest.mark.parametrize(
    ("module", "ref", "extra"),
    [("pyarrow", "quiz.parquet", "parquet"), ("datasets", "hf://me/quiz", "datasets")],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    quiz: Path, monkeypatch: pytest.MonkeyPatch, module: str, ref: str, extra: str
) -> None:
    monkeypatch.chdir(quiz.parent)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(UsageError, match=rf"pip install 'concept-grpo\[{extra}\]'"):
        load(ref)


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("hf://me/quiz", ("me/quiz", None, "train", None)),
        ("hf://me/quiz/test", ("me/quiz", None, "test", None)),
        ("hf://me/quiz/main/train[:100]", ("me/quiz", "main", "train[:100]", None)),
        ("hf://me/quiz@v1/test", ("me/quiz", None, "test", "v1")),
    ],
)
def test_a_dataset_of_the_hub_is_named(ref: str, found: tuple[str | None, ...]) -> None:
    assert hub_dataset(ref) == HubDataset(*found)
    assert short_name(ref) == "quiz"


@pytest.mark.parametrize("ref", ["hf://", "hf://quiz", "hf://a/b/c/d/e", "hf://a/b//c", "hf://a b"])
def test_what_names_no_dataset_is_refused(ref: str) -> None:
    with pytest.raises(UsageError, match="Write hf://OWNER/NAME/SPLIT"):
        hub_dataset(ref)


def test_columns_are_mapped_in_text_files_too(tmp_path: Path) -> None:
    rows = json_lines(tmp_path / "a.jsonl", {"q": {"en": "Explain qubits"}, "a": 42, "text": "x"})
    (tmp_path / "a.csv").write_text("question,answer,id\nExplain qubits,,7\n")

    (nested,) = load(rows, Columns(text="q.en", reference="a")).examples
    (cell,) = load(tmp_path / "a.csv", QUESTIONS).examples

    assert (nested.text, nested.reference) == ("Explain qubits", "42")
    assert (cell.text, cell.reference, cell.id) == ("Explain qubits", None, "7")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": "qestion"}, r":1: columns.text names 'qestion'.* Did you mean 'question'\?"),
        ({"text": "question", "reference": "x"}, r"jsonl: columns.reference names 'x'"),
        ({"text": "question", "keep": ("lvel",)}, r"jsonl: columns.keep names 'lvel'"),
    ],
)
def test_a_column_that_is_not_there_is_an_error(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    path = json_lines(tmp_path / "a.jsonl", {"question": "Explain qubits", "level": 1})

    with pytest.raises(UsageError, match=message):
        load(path, Columns(**columns))


@pytest.fixture
def hub(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved dataset, saved splits, and the Hub's cache with the same, offline."""
    # Read when datasets is first imported, which is here.
    monkeypatch.setenv("HF_HOME", str(workplace / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", workplace / "hub" / "datasets")
    datasets.disable_progress_bars()
    saved = datasets.Dataset(table())
    saved.save_to_disk(workplace / "saved")
    datasets.DatasetDict({"train": saved}).save_to_disk(workplace / "splits")
    place = workplace / "hub" / "datasets" / "me___quiz" / "default" / "0.0.0" / "abc"
    place.mkdir(parents=True)
    shutil.copy(next((workplace / "saved").glob("*.arrow")), place / "quiz-train.arrow")
    info = json.loads((workplace / "saved" / "dataset_info.json").read_text())
    info |= {
        "builder_name": "parquet",
        "dataset_name": "quiz",
        "config_name": "default",
        "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
        "splits": {
            "train": {"name": "train", "num_bytes": 1, "num_examples": 3, "dataset_name": "quiz"}
        },
    }
    (place / "dataset_info.json").write_text(json.dumps(info))
    return workplace


def test_saved_datasets_and_those_in_the_hubs_cache_are_read(command: Command, hub: Path) -> None:
    names = ("--set=columns.text=question", "--set=columns.reference=answer")

    good = command("data", "check", "hf://me/quiz/train[:2]", "saved", "splits/train", *names,
                   "--json")  # fmt: skip
    bad = command("data", "check", "hf://me/quiz/tset", "splits", *names)
    away = command("data", "check", "hf://me/other", *names)

    assert good.code == 0, good.err
    files = json.loads(good.out)["files"]
    assert [file["usable"] for file in files] == [2, 3, 3]
    assert [file["references"] for file in files] == [1, 2, 2]
    assert bad.code == 2
    assert 'hf://me/quiz/tset: Unknown split "tset"' in bad.out
    assert "splits: holds splits. Name one: splits/train" in bad.out
    assert away.code == 3
    assert "hf://me/other: the Hub did not give it" in away.err


def test_standard_input_is_kept_for_the_resume(
    command: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(json.dumps({"q": f"Explain qubits {n}"}) + "\n" for n in range(4)).encode()

    dry = command("run", "--data=-", "--set=columns.text=q", "--dry-run", stdin=rows)
    twice = command("run", "--data=-", "--heldout=-", "--dry-run", stdin=rows)
    empty = command("run", "--data=-", "--dry-run")

    assert dry.code == 0, dry.err
    assert "data     3 prompts · held out 1" in dry.err
    assert (twice.code, empty.code) == (2, 2)
    assert "can be read only once" in twice.err
    assert "stdin: the file is empty" in empty.err


def test_what_was_read_once_is_read_again_from_its_copy(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = b"".join(b'{"q": "Explain qubits %d"}\n' % n for n in range(4))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows)))
    config = RunConfig(data="-", columns=Columns(text="q"), runs_dir=str(workplace / "runs"))

    inputs = prepare(config)
    directory = RunDirectory.create(inputs, "template")
    again = prepare(stored_config(directory))

    assert directory.name.startswith("stdin--template--")
    assert (directory.path / "inputs" / "train.jsonl").read_bytes() == rows
    assert [e.text for e in again.train] == [e.text for e in inputs.train]
    assert [e.id for e in again.heldout] == [e.id for e in inputs.heldout]


def test_an_older_run_goes_on_with_the_prompts_that_it_had(tmp_path: Path) -> None:
    rows = [{"text": text} for text in ("Explain qubits", "Bake bread", "Why quantum gates?")]
    data = str(json_lines(tmp_path / "train.jsonl", *rows))
    config = RunConfig(data=data, domains=("quantum-computing",), runs_dir=str(tmp_path / "runs"))
    directory = RunDirectory.create(prepare(config), "template")
    stored = json.loads((directory.path / "config.json").read_text())

    now = prepare(stored_config(directory))
    del stored["match"]
    (directory.path / "config.json").write_text(json.dumps(stored))
    older = prepare(stored_config(directory))

    assert len(now.train) + len(now.heldout) == 3
    assert [one.text for one in older.unmatched] == ["Bake bread"]


def test_data_check_finds_everything_and_says_where(command: Command, workplace: Path) -> None:
    (workplace / "train.jsonl").write_text(
        '{"text": "Explain qubits", "reference": "r", "level": 1}\n'
        '{"text": "explain  Qubits"}\n'
        '{"text": ""}\n'
        "{broken\n"
        '{"text": "How to cook rice"}\n'
        f'{{"text": "{"x" * 100_001}"}}\n'
        '{"text": "What is quantum computing?", "id": "a"}\n'
        '{"text": "What is machine learning?", "id": "a"}\n'
        '{"text": "Neural networks?", "domain": "cooking"}\n'
    )
    again, new = {"text": "What is quantum computing?"}, {"text": "Explain quantum gates"}
    json_lines(workplace / "heldout.jsonl", again, new)

    answer = command("data", "check", "train.jsonl", "heldout.jsonl", "--json")
    words = command("data", "check", "train.jsonl", "heldout.jsonl")
    good = command("data", "check", "heldout.jsonl")

    found = json.loads(answer.out)
    train = found["files"][0]
    assert (answer.code, words.code, good.code) == (2, 2, 0)
    assert (train["records"], train["usable"], train["references"]) == (9, 3, 1)
    assert train["domains"] == {"quantum computing": 3, "machine learning": 0, "neural networks": 0}
    assert train["unmatched"] == ["train.jsonl:5"]
    assert train["duplicates"] == [["train.jsonl:1", "train.jsonl:2"]]
    assert train["columns"] == ["level"]
    assert sorted(error.split(":")[1] for error in train["errors"]) == ["3", "4", "6", "8", "9"]
    assert found["overlap"] == [["train.jsonl:7", "heldout.jsonl:1"]]
    assert "train.jsonl: NOT USABLE" in words.out
    assert "heldout.jsonl: ok" in words.out
    assert "overlap    1 prompts" in words.out


def test_data_check_takes_nothing_but_how_data_is_read(command: Command) -> None:
    answer = command("data", "check", "x.jsonl", "--set=seed=1")

    assert answer.code == 2
    assert "only columns.* and match say how data is read" in answer.err
