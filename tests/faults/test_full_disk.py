"""A disk that is really full: the run stops, says so, and goes on when there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.running import (
    SMALL,
    Ended,
    held_after,
    json_lines,
    let_go,
    orchestrator,
    run_directories,
    started,
)

pytestmark = [
    pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a small disk"
    ),
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave not one block free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return filler


def test_a_run_on_a_full_disk_stops_and_goes_on_when_there_is_room(
    small_disk: Path, workplace: Path, small_run: Ended
) -> None:
    options = (*SMALL, "--no-live", f"--set=runs_dir={small_disk}/runs", held_after(1, workplace))
    with started("run", *options, cwd=workplace) as command:
        wait_until((workplace / "held").exists, "the run is held")
        filler = fill(small_disk)
        let_go(workplace)
        stopped = command.end()

    # Either the rows could not be written, or the server could not write its file.
    assert stopped.code == 3, stopped.err
    assert "Traceback" not in stopped.err
    assert "No space left on device" in stopped.err
    assert "resume  orchestrator run --resume " in stopped.err

    filler.unlink()
    (run,) = run_directories(small_disk)
    resumed = orchestrator("run", "--resume", str(run), cwd=workplace, name="resumed")

    assert resumed.code == 0, resumed.err
    assert (run / "policy.json").read_bytes() == small_run.policy
    rows = json_lines((run / "rollouts.jsonl").read_text("utf-8"))
    ids = {(row["purpose"], row["step"], row["group"], row["slot"]) for row in rows}
    assert len(ids) == len(rows) == 4 * 4 * 6 + 2 * 24
