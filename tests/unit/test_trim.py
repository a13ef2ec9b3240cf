"""What a resume takes out of a run's files, and what it leaves."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from orchestrator.rollouts import DomainWeights, Params, Weights
from orchestrator.run_directory import RunDirectory
from orchestrator.store import encode_weights


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


def state_after(step: int) -> dict[str, Any]:
    params = Params(np.array([0.125, -0.5]), np.array([0.25, 1.5]), np.array([0.75]))
    weights = Weights(step, {"d": DomainWeights(params, params, {"mean": np.arange(5.0)})})
    ledger = {"money": {"spent:eval": 7}, "faults": {}}
    state: dict[str, Any] = {"weights": encode_weights(weights), "ledger": ledger}
    return cast(dict[str, Any], json.loads(json.dumps(state)))


#: What is replaced, by what, and whether it is seen without a digest too.
DAMAGE: dict[str, tuple[str, str, bool]] = {
    "a digit is flipped": ("0.125", "0.325", False),
    "another bill": ('"spent:eval": 7', '"spent:eval": 0', False),
    "another version": ('"version": 2', '"version": 99', True),
    "the ledger is a number": ('{"money": {"spent:eval": 7}, "faults": {}}', "0", True),
    "a shorter array": ("[0.125, -0.5]", "[0.125]", True),
    "an empty array": ('"eta": [0.75]', '"eta": []', True),
    "a field is missing": ('"spreads": {}, ', "", True),
}


@pytest.mark.parametrize("digest", [True, False], ids=["with its digest", "from before"])
@pytest.mark.parametrize(("old", "new", "seen"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, old: str, new: str, seen: bool, digest: bool
) -> None:
    directory = RunDirectory(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for step in (1, 2):
        directory.checkpoint(step, 2, state_after(step))
    assert directory.newest_checkpoint() == (2, state_after(2))

    newest = tmp_path / "checkpoints" / "000002.json"
    state = json.loads(newest.read_text("utf-8"))
    if not digest:
        del state["sha256"]
        newest.write_text(json.dumps(state), "utf-8")
        assert directory.newest_checkpoint() == (2, state_after(2)), "older than digests"
    # Once: the params alone, of which the reference has a copy.
    damaged = json.dumps(state).replace(old, new, 1)
    assert damaged != json.dumps(state)
    newest.write_text(damaged, "utf-8")

    found = directory.newest_checkpoint()

    assert found is not None
    assert found[0] == (1 if digest or seen else 2)


def test_a_checkpoint_under_the_name_of_another_step_is_passed_over(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    directory.checkpoint(1, 2, state_after(1))
    (tmp_path / "checkpoints" / "000002.json").write_bytes(
        (tmp_path / "checkpoints" / "000001.json").read_bytes()
    )

    assert directory.newest_checkpoint() == (1, state_after(1))
