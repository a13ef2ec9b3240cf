"""Data files to examples, the held-out split, batches."""

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.data import batch, load, split
from orchestrator.domains import builtin
from orchestrator.matching import match_all
from orchestrator.rollouts import Example
from shared.errors import UsageError
from tests.bad_inputs import BAD_INPUTS, BadInput


def examples(count: int) -> list[Example]:
    return [Example(id=f"e{number}", text=f"text {number}") for number in range(count)]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "bad", [bad for bad in BAD_INPUTS if bad.kind == "data"], ids=lambda bad: bad.name
)
def test_bad_data_is_refused_in_words(bad: BadInput, tmp_path: Path) -> None:
    path = write(tmp_path, bad.filename, bad.content)
    with pytest.raises(UsageError) as caught:
        match_all(load(path).examples, builtin())
    message = str(caught.value)
    assert message.startswith(str(path))
    assert bad.fragment in message
    assert len(message) < len(str(path)) * 2 + 400


def test_a_missing_file_suggests_near_names(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", "x")
    with pytest.raises(UsageError, match=r"no such file. Did you mean 'train.jsonl'\?"):
        load(tmp_path / "trian.jsonl")


def test_a_missing_file_lists_what_the_folder_has(tmp_path: Path) -> None:
    write(tmp_path, "train.jsonl", "x")
    with pytest.raises(UsageError, match=r"In that folder: 'train.jsonl'"):
        load(tmp_path / "zzz.csv")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"folder .*nowhere' cannot be listed"):
        load(tmp_path / "nowhere" / "train.jsonl")


@pytest.mark.parametrize("name", ["loop.jsonl", "n" * 300 + ".jsonl", "nul\0.jsonl"])
def test_an_unreadable_file_is_an_error_in_words(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / name)


def test_a_directory_and_a_pipe_are_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match="is a directory"):
        load(tmp_path / "folder.csv")
    with pytest.raises(UsageError, match="is not a regular file"):
        load(tmp_path / "pipe.csv")


def test_the_nested_shape_of_the_seed_is_read(tmp_path: Path) -> None:
    record = {"input": {"text": "a"}, "output": {"generated": "b", "quality": 0.95}, "level": 2}
    only_input = {"input": {"text": "c"}}
    path = write(tmp_path, "a.json", json.dumps([record, only_input], indent=2))
    first, second = load(path).examples
    assert first == Example("e001", "a", "b", None, {"quality": 0.95, "level": 2}, f"{path}:2")
    assert second == Example("e002", "c", None, None, {}, f"{path}:12")


def test_the_flat_shape_keeps_extra_columns_for_rewards(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '\n{"id": 7, "text": "a", "domain": "d", "answer": [1]}\n')
    loaded = load(path)
    assert loaded.examples == (Example("7", "a", None, "d", {"answer": [1]}, f"{path}:2"),)
    assert loaded.extra_columns == ("answer",)


def test_csv_cells_hold_commas_quotes_and_newlines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,reference,n\n"a, ""b""\nc",,3\n\nd,r,\n')
    first, second = load(path).examples
    assert (first.text, first.reference, first.extra) == ('a, "b"\nc', None, {"n": "3"})
    assert (second.text, second.reference, second.extra) == ("d", "r", {"n": ""})
    assert [first.source, second.source] == [f"{path}:2", f"{path}:5"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,x\n"é\nf",1\n'),
        ("a.jsonl", '{"text": "é\\nf", "x": "1"}\n'),
        ("a.ndjson", '{"text": "é\\nf", "x": "1"}'),
        ("a.JSON", '[\n{"text": "é\\nf",\n"x": "1"}\n]\n'),
    ],
)
def test_byte_order_mark_and_crlf_change_nothing(name: str, content: str, tmp_path: Path) -> None:
    plain = load(write(tmp_path, name, content))
    windows = load(write(tmp_path, name, b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode()))
    assert plain.examples == windows.examples
    assert plain.examples[0].text == "é\nf"


def test_a_line_separator_inside_a_json_string_ends_no_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a\u2028b\u0085c"}\n')
    assert load(path).examples[0].text == "a\u2028b\u0085c"


def test_ids_are_padded_by_the_number_of_records(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a"}\n' * 1000)
    ids = [one.id for one in load(path).examples]
    assert (ids[0], ids[-1]) == ("e0001", "e1000")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_ten_thousand_rows_load_in_seconds(name: str, tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"Explain é {n}", "reference": "r" * 80}) for n in range(10_000)]
    content = {
        "a.jsonl": "\n".join(rows),
        "a.json": "[" + ",\n".join(rows) + "]",
        "a.csv": "text,reference\n"
        + "".join(f'"Explain, {n}",{"r" * 80}\n' for n in range(10_000)),
    }
    path = write(tmp_path, name, content[name])
    started = time.process_time()
    assert len(load(path).examples) == 10_000
    assert time.process_time() - started < 20


@given(st.integers(0, 60), st.floats(0.001, 0.999), st.integers())
def test_a_split_parts_the_examples(count: int, fraction: float, seed: int) -> None:
    whole = examples(count)
    train, heldout = split(whole, fraction, seed)
    assert sorted([*train, *heldout], key=lambda one: int(one.id[1:])) == whole
    assert bool(train) == (count >= 1)
    assert bool(heldout) == (count >= 2)
    assert split(whole, fraction, seed) == (train, heldout)


def test_a_split_depends_on_ids_not_on_order() -> None:
    whole = examples(50)
    held = {one.id for one in split(whole, 0.3, 5).heldout}
    assert len(held) == 15
    assert {one.id for one in split(whole[::-1], 0.3, 5).heldout} == held
    assert {one.id for one in split(whole, 0.3, 6).heldout} != held


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_fraction_outside_0_and_1_is_refused(fraction: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        split(examples(4), fraction, 1)


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 1000), st.integers(1, 5))
def test_every_epoch_shows_every_example_once(
    total: int, batch_size: int, seed: int, epochs: int
) -> None:
    whole = examples(total)
    steps = -(-total * epochs // batch_size)
    starts = [step * batch_size for step in range(steps)]
    stream = [one.id for start in starts for _, one in batch(whole, start, batch_size, seed)]
    for epoch in range(epochs):
        assert set(stream[epoch * total : (epoch + 1) * total]) == {one.id for one in whole}


def test_a_batch_is_a_function_of_its_arguments_alone() -> None:
    whole = examples(20)
    assert batch(whole, 42, 6, 1) == batch(list(whole), 42, 6, 1)
    assert batch(whole, 42, 6, 1) != batch(whole, 42, 6, 2)
    assert [group for group, _ in batch(whole, 0, 4, 1)] == ["e5", "e7", "e18", "e12"]


def test_group_ids_stay_distinct_when_an_example_repeats() -> None:
    whole = [Example("a", "x"), Example("a.2", "y")]
    groups = [group for group, _ in batch(whole, 0, 6, 1)]
    assert sorted(groups) == ["a", "a.2", "a.2.2", "a.2.3", "a.3", "a.4"]
