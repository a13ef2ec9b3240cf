"""Which run is the newest: by instants, in any time zone, and never one that did not start."""

import os
from pathlib import Path

from tests.running import SMALL, orchestrator


def test_latest_is_the_newest_start_in_any_time_zone(workplace: Path) -> None:
    for name, zone in (("tokyo", "Asia/Tokyo"), ("utc", "UTC")):
        orchestrator("run", *SMALL, "--steps=1", f"--name={name}", cwd=workplace, TZ=zone)
    runs = workplace / "runs"
    before = sorted(runs.iterdir())

    # Given a worker that cannot start.
    failed = orchestrator(
        "run", *SMALL, cwd=workplace, TZ="Asia/Tokyo", OPENROUTER_API_KEY="two words"
    )
    listed = orchestrator("runs", "list", cwd=workplace).out.splitlines()

    assert failed.code == 3
    assert "its last words:\n  " in failed.err
    assert sorted(runs.iterdir()) == before
    assert (runs / "latest").resolve().name.startswith("utc--")
    assert [line.partition("--")[0] for line in listed[1:]] == ["utc", "tokyo"]


def test_a_start_that_fails_leaves_no_folder_of_runs(workplace: Path) -> None:
    failed = orchestrator("run", *SMALL, cwd=workplace, OPENROUTER_API_KEY="two words")

    assert failed.code == 3
    assert not (workplace / "runs").exists()


def test_a_runs_folder_is_its_owners_alone_unless_asked_otherwise(workplace: Path) -> None:
    old = os.umask(0)
    try:
        for name, more in (("mine", ()), ("ours", ("--set=share_run=true",))):
            how = orchestrator("run", *SMALL, "--steps=1", f"--name={name}", *more, cwd=workplace)
            assert how.code == 0, how.err
    finally:
        os.umask(old)
    mine, ours = (next((workplace / "runs").glob(f"{name}--*")) for name in ("mine", "ours"))

    assert mine.stat().st_mode & 0o777 == 0o700
    open_files = [p for p in mine.iterdir() if p.is_file() and p.stat().st_mode & 0o077]
    assert [p.name for p in open_files] == []
    assert ours.stat().st_mode & 0o777 == 0o777
    assert (ours / "policy.json").stat().st_mode & 0o777 == 0o666
