"""A run directory with damaged files: a clear error or a clean fall-back, never a traceback."""

import json
import shutil
from pathlib import Path

import pytest

from tests.commanding import Command
from tests.running import Ended, json_lines, orchestrator

SMALL = ("--steps=3", "--set=batch_size=2", "--set=group_size=4", "--set=eval_samples=1")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    ended = orchestrator("run", *SMALL, cwd=folder)
    assert ended.code == 0, ended.err
    return (folder / "runs" / "latest").resolve()


@pytest.fixture
def damaged(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "runs" / finished.name
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def resumed(run: Path) -> tuple[int, str]:
    ended = orchestrator("run", "--resume", run.name, cwd=run.parents[1])
    assert "Traceback" not in ended.err
    return ended.code, ended.err


@pytest.mark.parametrize("name", ["config.json", "inputs.json"])
@pytest.mark.parametrize("content", ["", "{", "[1]", '{"seed": "x"}', "\x00\xff"])
def test_a_config_that_is_none_is_refused_by_name(damaged: Path, name: str, content: str) -> None:
    (damaged / name).write_text(content)

    code, said = resumed(damaged)

    assert code == 2
    assert name in said


@pytest.mark.parametrize("content", ["", "{", "{}", '{"weights": 1, "ledger": {}}', "null"])
def test_behind_a_broken_checkpoint_stands_the_one_before_it(damaged: Path, content: str) -> None:
    before = (damaged / "policy.json").read_bytes()
    newest = max((damaged / "checkpoints").iterdir())
    newest.write_text(content)
    (damaged / "policy.json").unlink()

    code, said = resumed(damaged)

    assert code == 0, said
    assert "at step 3/3" in said
    assert (damaged / "policy.json").read_bytes() == before


def test_without_any_whole_checkpoint_nothing_is_paid_for_again(damaged: Path) -> None:
    for path in (damaged / "checkpoints").iterdir():
        path.write_text(path.read_text().replace('"version": ', '"version": 9'))

    code, said = resumed(damaged)

    assert code == 1
    assert "none is whole, although 3 steps were done and paid for" in said


def test_broken_rows_are_dropped_and_whole_ones_stay(damaged: Path) -> None:
    rows = (damaged / "rollouts.jsonl").read_text()
    (damaged / "rollouts.jsonl").write_text(rows + '{"step": 9, "gro')
    (damaged / "metrics.jsonl").write_text(
        "garbage\n" + (damaged / "metrics.jsonl").read_text() + "[]\n"
    )

    code, said = resumed(damaged)

    assert code == 0, said
    assert (damaged / "rollouts.jsonl").read_text() == rows
    steps = [row["step"] for row in json_lines((damaged / "metrics.jsonl").read_text())]
    # Two evaluations, three steps, and what was measured at the end.
    assert steps == [0, 1, 2, 3, 3, 3]


def test_odd_values_in_a_runs_files_are_damage_and_no_traceback(
    command: Command, workplace: Path, small_run: Ended
) -> None:
    whole = workplace / "runs" / "new--template--20260102-1000-bbbb"
    shutil.copytree(small_run.run, whole, symlinks=True)
    result = json.loads((whole / "run.json").read_text("utf-8"))
    inputs = json.loads((whole / "inputs.json").read_text("utf-8"))
    final = next((whole / "heldout").glob("*-final.json"))
    kept = json.loads(final.read_text("utf-8"))
    deep, endless = "[" * 100_000, float("inf")
    damage = {
        "config.json": [deep],
        "inputs.json": [deep, json.dumps({**inputs, "train": 5})],
        "run.json": [
            deep,
            json.dumps({**result, "steps": endless}),
            json.dumps({**result, "cost": {"total_usd": 10**400}}),
            json.dumps({**result, "heldout": {**result["heldout"], "before": "high"}}),
            json.dumps({**result, "heldout": {"before": 0.5, "after": 0.6}}),
            json.dumps({**result, "heldout": {**result["heldout"], "verdict": [1]}}),
        ],
        "state.json": [deep],
        f"heldout/{final.name}": [
            deep, json.dumps({**kept, "rewards": dict.fromkeys(kept["rewards"], "high")})
        ],
    }  # fmt: skip
    broken = whole.with_name("x--template--20260103-1000-cccc")
    for file, contents in damage.items():
        for content in contents:
            shutil.copytree(whole, broken, symlinks=True)
            (broken / file).write_text(content, encoding="utf-8")
            for words in (("list",), ("show", "x"), ("show", "x", "--json")):
                assert command("runs", *words).code == 0, (file, content[:80])
            assert command("runs", "compare", "x", "new", "--force").code in {0, 2}
            shutil.rmtree(broken)
