"""Which run is the newest: by instants, in any time zone, and never one that did not start."""

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
