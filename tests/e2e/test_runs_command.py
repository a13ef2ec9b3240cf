"""``orchestrator runs`` as people type it."""

import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from orchestrator.run_state import attended
from orchestrator.state_lock import lock_state
from shared.errors import RunStopped
from shared.keys import RunKeys
from tests.commanding import Command
from tests.processes import PATIENCE_S
from tests.running import ORCHESTRATOR, Ended, clean_environment

NEW, OLD = "new--template--20260102-1000-bbbb", "old--template--20260101-1000-aaaa"


@pytest.fixture
def two_runs(command: Command, workplace: Path, small_run: Ended) -> Path:
    """A folder with two finished runs; the older one had another seed and rose less."""
    runs = workplace / "runs"
    for name in (NEW, OLD):
        shutil.copytree(small_run.run, runs / name, symlinks=True)
    (runs / "latest").symlink_to(NEW)
    change(runs / OLD / "config.json", seed=5, batch_size=2)
    final = next((runs / OLD / "heldout").glob("*-final.json"))
    rewards = json.loads(final.read_text())["rewards"]
    change(final, rewards={name: reward - 0.1 for name, reward in rewards.items()})
    return runs


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def listed(command: Command) -> dict[str, dict[str, Any]]:
    """What ``runs list --json`` says, by name."""
    answer = command("runs", "list", "--json")
    assert answer.code == 0, answer.err
    return {row["name"]: row for row in json.loads(answer.out)}


def test_a_list_is_newest_first_and_says_how_each_run_ended(
    command: Command, two_runs: Path
) -> None:
    lines = command("runs", "list").out.splitlines()

    assert [line.split()[0] for line in lines[1:]] == [NEW, OLD]
    assert re.search(r"finished +4/4 +0\.\d{3} -> 0\.\d{3} +IMPROVED +\$0 +template", lines[1])
    assert lines[1].endswith("2026-01-02 10:00")


def test_no_runs_is_said(command: Command) -> None:
    assert command("runs", "list") == (0, "no runs here; start one with: orchestrator run\n", "")


def test_damaged_runs_are_listed_as_damaged_and_break_nothing(
    command: Command, two_runs: Path
) -> None:
    damage = {
        "config.json": b"{", "inputs.json": b"\xff", "run.json": b"[1]",
        "checkpoints/000004.json": b"", "metrics.jsonl": b"\x00{\n[]\n",
    }  # fmt: skip
    for number, (file, content) in enumerate(damage.items()):
        broken = two_runs / f"x{number}--template--20260103-100{number}-cccc"
        shutil.copytree(two_runs / NEW, broken, symlinks=True)
        (broken / file).write_bytes(content)
    (two_runs / "y--template--20260103-1009-cccc/logs").mkdir(parents=True)
    for mark in ("inputs", "checkpoints"):
        (two_runs / "y--template--20260103-1009-cccc" / mark).mkdir()
    (two_runs / "somebody's folder").mkdir()

    found = listed(command)

    states = {name.partition("--")[0]: row["state"] for name, row in found.items()}
    assert states == {
        "y": "damaged", "x4": "finished", "x3": "finished", "x2": "damaged", "x1": "damaged",
        "x0": "damaged", "new": "finished", "old": "finished",
    }  # fmt: skip
    reasons = {name.partition("--")[0]: row["reason"] for name, row in found.items()}
    assert reasons["y"] == "config.json is missing"
    assert "run.json" in reasons["x2"]
    assert command("runs", "list").code == 0
    for name in found:
        assert command("runs", "show", name).code == 0


def test_an_unfinished_run_shows_what_it_has_and_how_to_go_on(
    command: Command, two_runs: Path
) -> None:
    (two_runs / OLD / "run.json").unlink()
    with pytest.raises(RunStopped), attended(two_runs / OLD, steps=9):
        raise RunStopped("budget", "the cap of $1 is reached")

    row = listed(command)[OLD]
    shown = command("runs", "show", "old")

    assert (row["state"], row["reason"]) == ("budget", "the cap of $1 is reached")
    assert (row["steps_done"], row["steps_planned"]) == (4, 9)
    assert 0 < row["heldout_start"] < 1
    assert row["heldout_end"] is None
    assert row["cost_usd"] == 0
    assert f"resume     orchestrator run --resume {OLD} --budget USD" in shown.out


def test_show_has_the_settings_that_differ_the_result_and_the_files(
    command: Command, two_runs: Path
) -> None:
    shown = command("runs", "show", "latest")

    assert shown.code == 0, shown.err
    assert re.search(r"group_size +6", shown.out)
    assert "held-out reward" in shown.out
    assert "policy.json" in shown.out
    row = json.loads(command("runs", "show", NEW, "--json").out)
    assert row["settings"]["batch_size"] == 4
    assert row["result"]["heldout"]["verdict"] == "IMPROVED"


def test_runs_are_compared_by_what_differs_and_prompt_by_prompt(
    command: Command, two_runs: Path
) -> None:
    answer = command("runs", "compare", "old", "new", "--json")

    found = json.loads(answer.out)
    assert found["settings"] == {"seed": [5, 0], "batch_size": [2, 4]}
    (pair,) = found["against_first"]
    assert pair["gain"] == pytest.approx(0.1)
    assert pair["verdict"] == "IMPROVED"
    words = command("runs", "compare", "old", "new").out
    assert re.search(r"end of B against end of A   \+0\.100 \[.*\]   IMPROVED", words)
    assert re.search(r"batch_size +2 +4", words)


@pytest.mark.parametrize(
    ("file", "values", "what"),
    [
        ("inputs.json", {"heldout": {"sha256": "0" * 64, "copy": "x"}}, "data"),
        ("config.json", {"reward_weights": [1, 1, 1, 0]}, "reward"),
    ],
)
def test_runs_with_other_data_or_another_reward_are_not_compared_unless_forced(
    command: Command, two_runs: Path, file: str, values: dict[str, Any], what: str
) -> None:
    change(two_runs / OLD / file, **values)

    refused = command("runs", "compare", "old", "new")
    forced = command("runs", "compare", "old", "new", "--force")

    assert refused.code == 2
    assert f"different {what}:" in refused.err
    assert forced.code == 0
    assert f"different {what}: nothing is compared" in forced.out
    assert "not compared" in forced.out.splitlines()[-1]


def test_one_run_is_no_comparison(command: Command, two_runs: Path) -> None:
    answer = command("runs", "compare", "new", "latest")

    assert answer.code == 2
    assert "two or more different runs" in answer.err


def test_a_run_is_removed_with_its_engine_and_latest_is_mended(
    command: Command, two_runs: Path
) -> None:
    (two_runs / ".engine" / NEW).mkdir(parents=True)
    (two_runs / ".engine" / NEW / "appendonly.aof").write_text("state")

    answer = command("runs", "rm", "new--", "--yes", "--json")

    assert answer.code == 0, answer.err
    assert json.loads(answer.out) == {"removed": [f"runs/{NEW}"]}
    assert sorted(path.name for path in two_runs.iterdir()) == ["latest", OLD]
    assert (two_runs / "latest").resolve().name == OLD
    assert command("runs", "rm", OLD, "--yes").code == 0
    assert list(two_runs.iterdir()) == []


@pytest.mark.parametrize("vague", [".", "..", "", "./", "runs", "runs/..", "new", "bbbb", "e--t"])
def test_what_is_removed_is_named_beyond_doubt(
    command: Command, two_runs: Path, vague: str
) -> None:
    answer = command("runs", "rm", vague, "--yes")

    assert answer.code == 2
    assert "names no run to remove" in answer.err
    assert {NEW, OLD} <= {path.name for path in two_runs.iterdir()}


def test_nothing_is_removed_unasked(command: Command, two_runs: Path) -> None:
    without = command("runs", "rm", "new--")
    latest = command("runs", "rm", "latest")

    assert (without.code, latest.code) == (2, 2)
    assert "--yes" in without.err
    assert "'latest' may be another run by now" in latest.err
    assert {NEW, OLD} <= {path.name for path in two_runs.iterdir()}


def test_a_closed_standard_input_is_nobody_to_ask(
    command: Command, two_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    refused = command("runs", "rm", "new--")
    assert refused.code == 2
    assert "nobody is here to ask" in refused.err
    assert (two_runs / NEW).is_dir()


@pytest.mark.parametrize(("typed", "left"), [(b"n\n", {NEW, OLD}), (b"y\n", {OLD})])
def test_in_a_terminal_a_person_is_asked(
    two_runs: Path, workplace: Path, typed: bytes, left: set[str]
) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [ORCHESTRATOR, "runs", "rm", "new--"],
        cwd=workplace,
        env=clean_environment(workplace, {}),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.write(ours, typed)
        process.wait(PATIENCE_S)
    os.close(ours)
    os.close(theirs)

    assert {path.name for path in two_runs.iterdir()} - {"latest"} == left


def test_a_run_that_is_alive_is_not_removed(command: Command, two_runs: Path) -> None:
    with attended(two_runs / NEW, steps=4):
        assert listed(command)[NEW]["state"] == "running"
        answer = command("runs", "rm", "new--", "--yes")

    assert answer.code == 2
    assert "is alive: process" in answer.err
    assert (two_runs / NEW / "config.json").is_file()


def test_a_run_that_is_being_evaluated_is_not_removed(command: Command, two_runs: Path) -> None:
    evaluation = two_runs / NEW / "evaluations" / "eval-fresh-0123456789"
    engine = two_runs / ".engine" / "eval-0123456789"
    engine.mkdir(parents=True)
    lock = lock_state(evaluation)
    refused = command("runs", "rm", "new--", "--yes")
    os.close(lock)
    assert refused.code == 2
    assert "eval-fresh-0123456789 is under way" in refused.err
    assert evaluation.is_dir()

    assert command("runs", "rm", "new--", "--yes").code == 0
    assert not engine.exists()


def test_on_a_given_server_a_held_fence_protects_and_the_keys_go_with_the_run(
    command: Command, two_runs: Path, empty_redis: Redis, empty_url: str
) -> None:
    keys = RunKeys(NEW)
    empty_redis.hset(keys.head, "version", 1)
    empty_redis.set(keys.fence, "somebody")

    held = command("runs", "rm", "new--", "--yes", "--redis", empty_url)
    empty_redis.delete(keys.fence)
    freed = command("runs", "rm", "new--", "--yes", "--redis", empty_url)

    assert held.code == 2
    assert "is alive: its fence is held at redis://***@" in held.err
    assert freed.code == 0, freed.err
    assert empty_redis.keys() == []


def test_a_folder_that_is_no_run_is_never_removed(command: Command, workplace: Path) -> None:
    (workplace / "mine").mkdir()
    (workplace / "mine" / "config.json").write_text("{}")

    answer = command("runs", "rm", "./mine", "--yes")

    assert answer.code == 2
    assert "is no run directory" in answer.err
    assert (workplace / "mine" / "config.json").is_file()


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("template", "2 runs are called 'template' in runs/: new--template"),
        ("oldd", "no run called 'oldd' in runs/. Did you mean 'old'?"),
        ("aaab", "no run called 'aaab' in runs/. Did you mean 'aaaa'?"),
        (" ", "' ' names no run"),
    ],
)
def test_a_name_that_means_no_run_or_several_is_answered_with_what_there_is(
    command: Command, two_runs: Path, ref: str, words: str
) -> None:
    answer = command("runs", "show", ref)

    assert answer.code == 2
    assert words in answer.err
