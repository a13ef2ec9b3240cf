"""What a resume takes out of a run's files, and what it leaves."""

import json
from pathlib import Path

from orchestrator.run_directory import RunDirectory


def test_rows_whose_texts_hold_other_ends_of_lines_stay(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    rows = [
        {"purpose": "train", "step": step, "update": step, "text": f"a{end}b"}
        for step in (1, 2)
        for end in ("\u2028", "\u2029", "\x85", "\x0b", "\x1e", "\r")
    ]
    directory.append_lines("rollouts.jsonl", rows)
    with (tmp_path / "rollouts.jsonl").open("ab") as file:
        file.write(b'{"purpose": "train", "step": 1, "upd')

    directory.trim(2)

    left = (tmp_path / "rollouts.jsonl").read_bytes().splitlines(True)
    assert [json.loads(line) for line in left] == rows[:6]
