"""``orchestrator run`` as people type it: it learns, says so, and leaves a readable folder."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.embedded import connect, free_port
from shared.fleet import live_workers
from tests.processes import wait_until
from tests.running import (
    SMALL,
    Ended,
    json_lines,
    metrics,
    only_run,
    orchestrator,
    run_directories,
    started,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, small_run: Ended) -> Iterator[dict[str, Ended]]:
    """Small runs with one worker, with three, and of another seed; side by side to save time."""
    options = {
        "three workers": ("--workers=3", "--set=worker_groups=2", "--json"),
        "another seed": ("--seed=1",),
    }
    with ExitStack() as stack:
        commands = {}
        for name, more in options.items():
            folder = tmp_path_factory.mktemp("run")
            command = stack.enter_context(started("run", *SMALL, *more, cwd=folder))
            commands[name] = command, folder
        ended = {name: Ended(command.end(), at) for name, (command, at) in commands.items()}
        yield {"plain": small_run, **ended}


def test_the_run_ends_well_and_the_held_out_reward_has_improved(runs: dict[str, Ended]) -> None:
    ended = runs["plain"].how

    assert ended.code == 0, ended.err
    row = next(line for line in ended.out.splitlines() if "held-out reward" in line)
    numbers = [float(number) for number in re.findall(r"[-+]?\d\.\d+", row)]
    before, after, gain, low, high = numbers
    assert "IMPROVED" in row
    assert 0 < low < gain < high
    assert gain == pytest.approx(after - before, abs=0.0011)


def test_the_reward_rises_from_step_to_step(runs: dict[str, Ended]) -> None:
    rewards = [row["reward"] for row in metrics(runs["plain"].run)]

    assert len(rewards) == 4
    assert rewards[-1] > rewards[0] + 0.05


def test_the_run_directory_holds_what_happened(runs: dict[str, Ended]) -> None:
    run = runs["plain"].run

    rollouts = json_lines((run / "rollouts.jsonl").read_text(encoding="utf-8"))
    trained = [row for row in rollouts if row["purpose"] == "train"]
    assert len(trained) == 4 * 4 * 6
    slots = [(row["purpose"], row["step"], row["group"], row["slot"]) for row in rollouts]
    assert len(slots) == len(set(slots))
    assert all(row["completion"]["text"] and 0 <= row["reward"] <= 1 for row in rollouts)
    result = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert result["heldout"]["verdict"] == "IMPROVED"
    assert result["steps"] == json.loads((run / "policy.json").read_text())["policy_version"] == 4
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert (config["max_steps"], config["group_size"]) == (4, 6)
    assert (runs["plain"].folder / "runs" / "latest").resolve() == run.resolve()
    assert f"policy   runs/{run.name}/policy.json" in runs["plain"].how.out
    checkpoints = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert checkpoints == ["000002.json", "000003.json", "000004.json"]


def test_held_out_prompts_never_train(runs: dict[str, Ended]) -> None:
    rollouts = json_lines((runs["plain"].run / "rollouts.jsonl").read_text(encoding="utf-8"))
    texts = {
        purpose: {row["prompt"] for row in rollouts if row["purpose"] == purpose}
        for purpose in ("train", "eval")
    }

    assert len(texts["eval"]) == 24
    assert texts["train"] & texts["eval"] == set()


def test_nothing_is_left_of_the_embedded_server_of_a_finished_run(runs: dict[str, Ended]) -> None:
    assert not (runs["plain"].folder / "runs" / ".engine").exists()


def test_without_a_terminal_the_output_is_plain_words_on_stderr(runs: dict[str, Ended]) -> None:
    ended = runs["plain"].how

    assert "\x1b" not in ended.out + ended.err
    assert "\r" not in ended.err
    for words in ("engine   embedded Valkey", "+ 1 worker", "plan     4 steps x 4 prompts x 6"):
        assert words in ended.err
    steps = [line for line in ended.err.splitlines() if line.startswith("step ")]
    assert steps[0].startswith("step 1/4  reward 0.")
    assert steps[-1].startswith("step 4/4  reward 0.")


def test_with_json_stdout_is_json_lines_and_ends_with_done(runs: dict[str, Ended]) -> None:
    ended, folder = runs["three workers"]

    assert ended.code == 0, ended.err
    rows = json_lines(ended.out)
    events = [row["event"] for row in rows]
    assert events == ["evaluation", *["step"] * 4, "evaluation", "done"]
    assert [row["step"] for row in rows if row["event"] == "step"] == [1, 2, 3, 4]
    assert rows[-1]["heldout"]["verdict"] == "IMPROVED"
    assert (folder / rows[-1]["run"]).resolve() == runs["three workers"].run.resolve()


def test_one_worker_and_three_learn_the_same_policy_bit_for_bit(runs: dict[str, Ended]) -> None:
    assert "+ 3 workers (2 groups at a time)" in runs["three workers"].how.err
    assert runs["three workers"].policy == runs["plain"].policy


def test_another_seed_learns_another_policy(runs: dict[str, Ended]) -> None:
    one, other = json.loads(runs["plain"].policy), json.loads(runs["another seed"].policy)

    assert runs["another seed"].how.code == 0
    assert other["seed"] == 1
    assert other["domains"][0]["logits"] != one["domains"][0]["logits"]


def test_a_dry_run_shows_every_knob_with_its_source_and_starts_nothing(workplace: Path) -> None:
    (workplace / "my.toml").write_text('batch_size = 5\n[algorithm]\nsolver = "clipped"\n')

    ended = orchestrator(
        "run", "my.toml", "--dry-run", "--steps=7", "--set=eval_samples=2", cwd=workplace
    )

    assert ended.code == 0, ended.err
    shown = {
        key: (value, source)
        for key, value, source in re.findall(r"^(\S+) +(.*)  \((.*)\)$", ended.out, re.MULTILINE)
    }
    assert shown["batch_size"] == ("5", "my.toml")
    assert shown["max_steps"] == ("7", "--steps")
    assert shown["eval_samples"] == ("2", "--set eval_samples")
    assert shown["algorithm.solver"] == ('"clipped"', "my.toml")
    assert shown["group_size"] == ("8", "default")
    assert "7 steps x 5 prompts x 8 slots = 280 rollouts" in ended.err
    assert not (workplace / "runs").exists()


def test_a_given_server_that_fails_is_exit_3(workplace: Path) -> None:
    ended = orchestrator(
        "run", f"--redis=redis://me:secret@127.0.0.1:{free_port()}/0", cwd=workplace
    )

    assert ended.code == 3
    warning, line = ended.err.splitlines()
    assert "can read the password in this command line" in warning
    assert line.startswith("error: Redis at redis://***@127.0.0.1:")
    assert "does not answer" in line
    assert "secret" not in line
    assert ended.out == ""
    assert not (workplace / "runs").exists()


def test_a_given_server_without_workers_is_exit_3_and_says_how_to_start_one(
    workplace: Path, empty_url: str
) -> None:
    ended = orchestrator("run", cwd=workplace, REDIS_URL=empty_url)

    assert ended.code == 3
    (line,) = ended.err.splitlines()
    assert line.startswith("error: no worker listens at redis://***@127.0.0.1:")
    assert "orchestrator worker" in line
    assert run_directories(workplace) == []


def test_a_run_on_a_given_server_uses_the_workers_there_and_keeps_its_password_to_itself(
    workplace: Path, empty_url: str, runs: dict[str, Ended]
) -> None:
    with (
        started("worker", "-c", "4", "--redis", empty_url, cwd=workplace, name="worker") as worker,
        connect(empty_url) as redis,
    ):
        wait_until(lambda: live_workers(redis), "worker up")
        ended = orchestrator("run", *SMALL, cwd=workplace, REDIS_URL=empty_url)
        said = worker.err

    assert ended.code == 0, ended.err
    assert "engine   Redis 9." in ended.err
    assert (only_run(workplace) / "policy.json").read_bytes() == runs["plain"].policy
    password = str(urlsplit(empty_url).password)
    assert password not in ended.out + ended.err + said
    files = [path for path in (workplace / "runs").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert [path for path in files if password.encode() in path.read_bytes()] == []


UNEXPLAINED = '''
from orchestrator import Callback

def nothing_right_yet(completion: str) -> float:
    return 0.0

class Damage(Callback):
    """Leaves nothing to explain a run by."""

    def on_train_end(self, state, control):
        path = state.directory / "policies.jsonl"
        path.rename(path.with_suffix(".kept"))
'''


def test_a_run_without_one_right_answer_ends_well_and_so_does_one_that_cannot_be_explained(
    workplace: Path,
) -> None:
    # Given a reward that never varies, and a file that is missing when the run is explained.
    (workplace / "mine.py").write_text(UNEXPLAINED, encoding="utf-8")
    mine = ('--set=reward_funcs=["mine:nothing_right_yet"]', '--set=callbacks=["mine:Damage"]')

    ended = orchestrator("run", *SMALL, *mine, cwd=workplace)

    # Then the result is there, the cause is told, and how to try again.
    run = only_run(workplace)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert "rewards was 0.000: nothing can be learnt" in ended.out
    assert "the run is saved, but its reward could not be examined" in ended.err
    assert f"try: orchestrator explain {run.name}" in ended.err
    kept = json.loads((run / "run.json").read_text("utf-8"))
    assert kept["heldout"]["verdict"] == "NO EVIDENCE"
    assert {alarm["kind"] for alarm in kept["alarms"]} == {"no_difference"}

    # And with the file the same run is explained, reported and resumed, also without its result
    # as versions left it in which explaining came first.
    (run / "policies.kept").rename(run / "policies.jsonl")
    (run / "run.json").unlink()
    for command in (("explain",), ("report",), ("run", "--resume")):
        again = orchestrator(*command, run.name, cwd=workplace)
        assert again.code == 0, again.err
