"""Workers of another version in the fleet: they refuse what they cannot read, and say so."""

import shutil
import threading
from pathlib import Path

import pytest
from redis import Redis

from shared.errors import EnvironmentNotReady
from tests.processes import PATIENCE_S, wait_until
from tests.running import ROOT
from tests.working import dispatching, group_job, worker_process


def other_version(folder: Path, field: str, becomes: str) -> Path:
    """A copy of the sources in which a field of the messages has another name."""
    source = folder / "other"
    for package in ("worker", "shared"):
        shutil.copytree(ROOT / package, source / package)
        for path in (source / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(field, becomes), encoding="utf-8")
    return source


def test_a_job_waits_for_a_worker_that_can_read_it(
    empty_url: str, empty_redis: Redis, run_id: str, workplace: Path
) -> None:
    # Given a fleet whose only worker knows no field of that name.
    source = other_version(workplace, "draft", "sketch")
    found = {}
    with (
        worker_process(empty_url, workplace, "other", source=source) as other,
        dispatching(empty_url, run_id) as dispatcher,
    ):
        collecting = threading.Thread(
            target=lambda: found.update(dispatcher.collect([group_job(run_id)], deadline_s=600))
        )
        collecting.start()
        wait_until(
            lambda: "is of another version" in other.log.read_text(encoding="utf-8"), "said so"
        )
        assert collecting.is_alive()

        # When one of the job's own version comes, beside the other.
        with worker_process(empty_url, workplace, "ours"):
            collecting.join(PATIENCE_S)

        assert "Private question" not in other.log.read_text(encoding="utf-8")
    assert all(result.reward for result in found["e001"].values())


def test_results_that_cannot_be_read_stop_the_run_and_are_not_paid_for_again_and_again(
    empty_url: str, run_id: str, workplace: Path
) -> None:
    # Given a worker that reads our jobs and writes completions of another shape.
    source = other_version(workplace, "native_finish_reason", "native_reason")
    with (
        worker_process(empty_url, workplace, "other", source=source),
        dispatching(empty_url, run_id) as dispatcher,
        pytest.raises(EnvironmentNotReady, match=r"cannot be read.*run the same version"),
    ):
        dispatcher.collect([group_job(run_id)], deadline_s=600)

    # Then the next try keeps them aside, once, and does their slots again.
    with (
        worker_process(empty_url, workplace, "ours"),
        dispatching(empty_url, run_id) as dispatcher,
    ):
        found = dispatcher.collect([group_job(run_id)], deadline_s=600)
        late = dispatcher.take_late()

    assert all(result.reward for result in found["e001"].values())
    assert {row["field"] for row in late} == {f"generate:{slot}" for slot in range(4)}
