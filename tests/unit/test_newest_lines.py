"""What the end of a long run reads back of its rollouts."""

import json
from pathlib import Path

from orchestrator.run_directory import RunDirectory


def test_of_the_newest_bytes_only_whole_lines_are_read(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step}) + "\n" for step in range(100)]
    (tmp_path / "rollouts.jsonl").write_text("".join(lines), encoding="utf-8")
    last_three = sum(map(len, lines[-3:]))
    directory = RunDirectory(tmp_path)

    newest = list(directory.lines("rollouts.jsonl", last_three + 2))

    assert [row["step"] for row in newest] == [97, 98, 99]
    assert len(list(directory.lines("rollouts.jsonl", 10**6))) == 100
    assert len(list(directory.lines("rollouts.jsonl"))) == 100
