"""What a run's folder says of how the run stands, while its process lives and afterwards."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.interrupts import Interrupted
from orchestrator.run_state import STATE_FILE, RunState, attended, owner, state_of
from shared.errors import EnvironmentNotReady, Fenced, RunFailed, RunStopped
from tests.processes import put_down, wait_until


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (RunStopped("budget", "the cap is reached"), RunState.BUDGET, "the cap is reached"),
        (RunStopped("auth", "the key is refused"), RunState.STOPPED, "the key is refused"),
        (EnvironmentNotReady("no worker"), RunState.STOPPED, "no worker"),
        (RunFailed("no signal"), RunState.FAILED, "no signal"),
        (Interrupted(130), RunState.INTERRUPTED, "stopped by a signal"),
        (OSError("password=secret"), RunState.STOPPED, "OSError"),
    ],
    ids=lambda value: str(value),
)
def test_a_run_that_stopped_says_how_and_why(
    run: Path, error: BaseException, state: RunState, reason: str
) -> None:
    with pytest.raises(type(error)), attended(run, steps=7):
        raise error

    assert state_of(run) == (state, reason, 7)


def test_a_run_is_running_while_it_is_attended_and_finished_with_its_result(run: Path) -> None:
    with attended(run, steps=3):
        assert state_of(run).state is RunState.RUNNING
        assert owner(run).startswith("process ")
        (run / "run.json").write_text("{}")

    assert state_of(run) == (RunState.FINISHED, "", 3)


def test_a_state_that_no_run_has_written_is_an_interrupted_run(run: Path) -> None:
    (run / STATE_FILE).write_text('{"state": [1], "steps": {}}')

    assert state_of(run) == (RunState.INTERRUPTED, "", None)


def test_a_process_that_is_killed_leaves_an_interrupted_run(run: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from orchestrator.run_state import attended\n"
        "with attended(Path(sys.argv[1]), 5): time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run)])
    try:
        # The lock is taken before the state is written.
        wait_until(lambda: state_of(run)[::2] == (RunState.RUNNING, 5), "attended")
    finally:
        put_down(process)

    assert state_of(run) == (RunState.INTERRUPTED, "", 5)


def test_who_is_refused_a_run_says_nothing_of_it(run: Path) -> None:
    with attended(run, steps=3):
        before = (run / STATE_FILE).read_text()
        with pytest.raises(Fenced), attended(run, steps=9):
            raise Fenced("another has it")

        assert (run / STATE_FILE).read_text() == before
        assert state_of(run).state is RunState.RUNNING


@pytest.mark.parametrize("content", ["", "[]", "{", '{"state": 3, "steps": "x", "reason": []}'])
def test_a_note_that_cannot_be_read_is_an_interrupted_run(run: Path, content: str) -> None:
    (run / STATE_FILE).write_text(content)

    assert state_of(run).state is RunState.INTERRUPTED
