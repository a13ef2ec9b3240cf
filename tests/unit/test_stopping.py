"""When training ends before its last step."""

from pathlib import Path

import pytest

from orchestrator.config import RunConfig
from orchestrator.stopping import Stopping, StopReason, plateau

RISING = [0.4, 0.5, 0.6]


@pytest.mark.parametrize(
    ("held_out", "patience", "ends"),
    [
        (RISING, 1, False),
        ([*RISING, 0.6], 1, True),
        ([*RISING, 0.59], 2, False),
        ([*RISING, 0.59, 0.6], 2, True),
        ([*RISING, 0.59, 0.61], 2, False),
        ([*RISING, None, 0.6], 1, True),
        ([0.6, 0.1], 0, False),
        ([0.6], 1, False),
        ([], 1, False),
    ],
)
def test_a_plateau_is_a_patience_of_evaluations_without_a_new_best(
    held_out: list[float | None], patience: int, ends: bool
) -> None:
    assert plateau(held_out, patience) is ends


def test_a_plateau_ends_training_only_after_an_evaluation(tmp_path: Path) -> None:
    stopping = Stopping(RunConfig(early_stopping_patience=1), tmp_path)

    assert stopping.due([0.5, 0.4], evaluated=False) is None
    stop = stopping.due([0.5, 0.4], evaluated=True)

    assert stop is not None
    assert stop.reason is StopReason.PLATEAU
    assert "no new best held-out reward" in stop.sentence


def test_a_stop_file_ends_training_once(tmp_path: Path) -> None:
    stopping = Stopping(RunConfig(), tmp_path)
    (tmp_path / "stop").touch()

    stop = stopping.due([], evaluated=False)

    assert stop is not None
    assert stop.reason is StopReason.STOP_FILE
    assert stopping.due([], evaluated=False) is None


def test_time_ends_training_and_without_a_limit_nothing_does(tmp_path: Path) -> None:
    stop = Stopping(RunConfig(max_minutes=1e-9), tmp_path).due([], evaluated=False)

    assert stop is not None
    assert stop.reason is StopReason.TIME
    assert Stopping(RunConfig(), tmp_path).due([0.9, 0.1, 0.1], evaluated=True) is None
