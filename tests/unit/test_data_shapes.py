"""Records in the shapes that other people's data has, and what becomes of them."""

import json
import sys
from collections.abc import Mapping
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from orchestrator.config import Columns, RunConfig
from orchestrator.data import from_records, load
from orchestrator.data_shapes import setting
from orchestrator.inputs import prepare, prepare_new
from shared.errors import UsageError
from tests.commanding import Command

USER, ANSWER = (
    {"role": "user", "content": "What is VAT?"},
    {"role": "assistant", "content": "A tax."},
)
SYSTEM, EARLIER = {"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hello"}
HI = {"role": "assistant", "content": "Hi"}
PARTS = {"role": "user", "content": [{"type": "text", "text": "What is VAT?"}]}
CALL: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [{}]}
TOOL = {"role": "tool", "content": "20%"}
MESSAGES = "messages (last user turn) | messages (the answer to it)"
SHARED = [{"from": "system", "value": "Be kind"}, {"from": "human", "value": "What is VAT?"}]


def told(*turns: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": [*turns]}


@pytest.mark.parametrize(
    ("record", "understood"),
    [
        ({"instruction": "What is VAT?", "input": "", "output": "A tax."}, "instruction | output"),
        ({"instruction": "What is VAT?", "context": "", "response": "A tax."},
         "instruction | response"),
        ({"prompt": "What is VAT?", "completion": "A tax."}, "prompt | completion"),
        ({"prompt": "What is VAT?", "chosen": "A tax.", "rejected": "No."}, "prompt | chosen"),
        ({"question": "What is VAT?", "answer": "A tax."}, "question | answer"),
        ({"Question": "What is VAT?", "Answer": "A tax."}, "Question | Answer"),
        ({"query": "What is VAT?", "response": "A tax."}, "query | response"),
        ({"input": "What is VAT?", "target": "A tax."}, "input | target"),
        ({"input": "What is VAT?", "label": "A tax."}, "input | label"),
        ({"Text": "What is VAT?", "Reference": "A tax."}, "Text | Reference"),
        ({"question": "What is VAT?", "answers": {"text": ["A tax."]}}, "question | answers.text"),
        (told(USER, ANSWER), MESSAGES),
        (told(PARTS, CALL, TOOL, ANSWER), MESSAGES),
        ({"prompt": [USER], "completion": [ANSWER]}, "prompt (last user turn) | completion"),
        ({"prompt": [USER], "chosen": [ANSWER], "rejected": [HI]},
         "prompt (last user turn) | chosen"),
        ({"chosen": [USER, ANSWER], "rejected": [USER, HI]},
         "chosen (last user turn) | chosen (the answer to it)"),
        ({"messages": json.dumps([USER, ANSWER])}, MESSAGES),
        ({"input": {"text": "What is VAT?"}, "output": "A tax."}, ""),
    ],
)  # fmt: skip
def test_common_shapes_are_understood_and_it_is_said(
    record: dict[str, Any], understood: str
) -> None:
    found = from_records([record], "data")

    (one,) = found.examples
    assert (one.text, one.reference) == ("What is VAT?", "A tax.")
    ours = zip(("text", "reference"), understood.split(" | "), strict=False)
    assert found.understood == (
        tuple(f"{field} = {column}" for field, column in ours) if understood else ()
    )


def test_of_a_conversation_nothing_is_lost() -> None:
    both = [told(SYSTEM, EARLIER, HI, USER, ANSWER), {"conversations": SHARED, "system": "mine"}]
    first, second = from_records(both, "data").examples

    assert (first.text, first.reference) == ("What is VAT?", "A tax.")
    assert first.extra == {"system": "Be kind", "history": [EARLIER, HI]}
    assert (second.text, second.reference) == ("What is VAT?", None)
    assert second.extra == {"system": "mine"}


def test_what_belongs_to_a_prompt_stands_below_it() -> None:
    rows = [{"instruction": "Sum up", "input": "A long text"}, {"instruction": "Sing", "input": ""}]
    found = from_records(rows, "data")

    assert [one.text for one in found.examples] == ["Sum up\n\nA long text", "Sing"]
    assert found.understood == ("text = instruction + input or instruction",)


def test_a_column_that_is_named_may_hold_a_conversation(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"chat": [USER, ANSWER], "prompt": "x"}) + "\n")

    (one,) = load(path, Columns(text="chat", keep=())).examples

    assert (one.text, one.reference, one.extra) == ("What is VAT?", "A tax.", {})


def test_where_two_columns_could_be_the_reference_none_is_taken_and_it_is_said() -> None:
    found = from_records([{"problem": "1 + 1", "solution": "Add", "answer": 2}], "data")

    (one,) = found.examples
    assert (one.reference, one.extra) == (None, {"solution": "Add", "answer": 2})
    assert "say which, as in --set columns.reference=answer" in found.understood[1]


@pytest.mark.parametrize("end", ["", "\n", "</s>", "<|endoftext|>\n"])
def test_a_text_that_ends_with_its_answer_is_left_out_for_what_it_was_made_of(end: str) -> None:
    record = {
        "instruction": "What is this?",
        "input": "VAT",
        "output": "A tax.",
        "text": f"Below is an instruction.\n### What is this?\nVAT\n### Response:\nA tax.{end}",
    }

    found = from_records([record], "mine")

    (example,) = found.examples
    assert (example.text, example.reference) == ("What is this?\n\nVAT", "A tax.")
    assert found.understood[0] == (
        "text = instruction + input (the column text holds the answer too)"
    )


@pytest.mark.parametrize(
    "record",
    [
        {"text": "What is VAT?", "question": "Who asks?", "answer": "A tax."},
        {"text": "Positive or negative? I loved it", "input": "I loved it", "label": "Positive"},
    ],
)
def test_a_text_that_does_not_end_with_its_answer_is_read_as_it_stands(
    record: dict[str, str],
) -> None:
    assert from_records([record], "mine").examples[0].text == record["text"]


@pytest.mark.parametrize(
    ("column", "flag"),
    [("q", "columns.text=q"), ("the question", "'columns.text=the question'"),
     ("1", "'columns.text=\"1\"'")],
)  # fmt: skip
def test_the_flag_that_names_a_column_can_be_pasted(column: str, flag: str) -> None:
    assert setting("text", column) == f"--set {flag}"


REFERENCES = [
    (42, "42"), (True, "true"), (1.5, "1.5"), ("a", "a"), ("", None), (None, None), ([], None),
    (["a"], "a"), (["a", "b", "a"], ("a", "b")), ([1, "one"], ("1", "one")),
]  # fmt: skip


@pytest.mark.parametrize(("given", "reference"), REFERENCES)
def test_one_rule_for_references_on_every_route(
    given: Any, reference: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": "a", "reference": given}]
    line = json.dumps(rows[0]) + "\n"
    (tmp_path / "a.jsonl").write_text(line)
    (tmp_path / "a.json").write_text(json.dumps(rows))
    if not isinstance(given, list) or len({type(one) for one in given}) < 2:
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(line.encode())))
    nested = [{"input": {"text": "a"}, "output": {"generated": given}}]

    files = [load(path) for path in sorted(tmp_path.iterdir())]
    found = [*files, load("-"), from_records(rows, "rows"), from_records(nested, "rows")]

    assert [dataset.examples[0].reference for dataset in found] == [reference] * len(found)


def test_values_of_numpy_are_values() -> None:
    rows = [{"text": "a", "reference": np.int64(3), "vector": np.array([1.0, 2.0])}]
    (one,) = from_records(rows, "rows").examples
    assert (one.reference, one.extra) == ("3", {"vector": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pandas.csv", ",text,reference\n0,a,b\n1,c,d\n"),
        ("excel.csv", "\ufeffsep=;\r\ntext;reference\r\na;b\r\nc;d\r\n"),
        ("semicolons.csv", "text;reference\na;b\nc;d\n"),
        ("tabs.csv", "text\treference\na\tb\nc\td\n"),
        ("tabs.tsv", "text\treference\na\tb\nc\td\n"),
        ("bars.csv", "text|reference\na|b\nc|d\n"),
        ("trailing.csv", "text,reference,\na,b,\nc,d,\n"),
    ],
)
def test_tables_of_every_program_are_read(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, newline="")

    found = load(tmp_path / name)

    assert [(one.text, one.reference) for one in found.examples] == [("a", "b"), ("c", "d")]
    assert found.extra_columns == ()


def test_a_long_cell_that_is_no_prompt_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"text,page\na,{'x' * 200_000}\n")
    (one,) = load(tmp_path / "a.csv").examples
    assert len(one.extra["page"]) == 200_000


def data_and_heldout(folder: Path, train: str, heldout: str) -> RunConfig:
    (folder / "train.jsonl").write_text(train)
    (folder / "heldout.jsonl").write_text(heldout)
    return RunConfig(data=str(folder / "train.jsonl"), heldout=str(folder / "heldout.jsonl"))


QUBITS, GATES = '{"text": "Explain qubits"}\n', '{"text": "Explain quantum gates"}\n'


def test_data_that_is_trained_on_is_not_held_out(tmp_path: Path, command: Command) -> None:
    config = data_and_heldout(
        tmp_path, QUBITS + GATES, GATES.upper().replace("TEXT", "text") + QUBITS
    )
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "train.jsonl")
    link = config.model_copy(update={"heldout": str(tmp_path / "link.jsonl")})

    with pytest.raises(UsageError, match="every one of its 2 prompts stands in the training data"):
        prepare_new(config)
    with pytest.raises(UsageError, match="data and heldout are the same"):
        prepare_new(link)
    assert len(prepare(config).trained_on) == 2
    checked = command("data", "check", config.data, config.heldout)
    assert checked.code == 2
    assert "stands in the training data too" in checked.out


def test_held_out_prompts_that_are_trained_on_are_counted_aloud(
    tmp_path: Path, command: Command
) -> None:
    more = '{"text": "What is entanglement?"}\n'
    config = data_and_heldout(tmp_path, QUBITS + GATES, more + QUBITS)

    dry = command("run", f"--data={config.data}", f"--heldout={config.heldout}", "--dry-run")

    assert dry.code == 0, dry.err
    assert "1 of the 2 held-out prompts are trained on too (line 2)" in dry.err


def test_prompts_that_match_nothing_and_columns_are_said_at_the_start(
    tmp_path: Path, command: Command
) -> None:
    rows = [{"question": text} for text in ("Explain qubits", "Bake bread", "Why quantum gates?")]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    file = str(tmp_path / "q.json")

    dry = command("run", f"--data={file}", "--dry-run")
    always = command("run", f"--data={file}", "--dry-run", "--set=match=always")
    single = command("run", f"--data={file}", "--dry-run", "--domain=quantum-computing")

    assert "columns  text = question" in dry.err
    assert "1 match no domain and are left out (record 2)" in dry.err
    assert "WARNING  1 of 3 prompts (33%) match no domain: give them a 'domain' field" in dry.err
    assert (always.code, single.code) == (2, 0)
    assert "needs one domain that every prompt belongs to; there are 3" in always.err
    assert "match no domain" not in single.err
