"""Whoever is told of a run beside the files: callbacks of one's own, and TensorBoard."""

import json
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.running import SMALL, json_lines, metrics, only_run, orchestrator

CALLBACKS = '''
import json
from pathlib import Path
from orchestrator import Callback

class Heard(Callback):
    """Writes down what it hears; stops after step 2, or fails there while it is broken."""

    def _note(self, hook, state):
        row = [hook, state.step, state.max_steps, state.kind, state.ending, state.metrics]
        with Path("heard.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\\n")

    def on_train_begin(self, state, control):
        self._note("begin", state)

    def on_step_end(self, state, control):
        self._note("step", state)
        if state.step == 2:
            if Path("broken").exists():
                raise ValueError("no such row")
            control.should_stop, control.reason = True, "two are enough"

    def on_evaluate(self, state, control):
        self._note("evaluate", state)

    def on_train_end(self, state, control):
        self._note("end", state)
'''


def test_callbacks_hear_a_run_and_may_end_or_break_it_and_no_service_is_told_twice(
    workplace: Path,
) -> None:
    # Given a callback that raises at the second step.
    (workplace / "mine.py").write_text(CALLBACKS, encoding="utf-8")
    (workplace / "broken").touch()
    mine = ('--set=callbacks=["mine:Heard"]', "--report-to", "tensorboard")
    broken = orchestrator("run", *SMALL, *mine, cwd=workplace)
    run = only_run(workplace)

    # Then the run stops, says where, and how to go on.
    assert broken.code == 1, broken.err
    assert "Traceback" not in broken.err
    line = 1 + CALLBACKS.splitlines().index('                raise ValueError("no such row")')
    where = f"{workplace / 'mine.py'}:{line}"
    assert f"the callback Heard.on_step_end raised ValueError: no such row ({where})" in broken.err
    assert f"resume  orchestrator run --resume {run.name}" in broken.err

    # When it is mended, then the run goes on and ends where the callback asks for it.
    (workplace / "broken").unlink()
    ended = orchestrator("run", "--resume", run.name, cwd=workplace)
    assert ended.code == 0, ended.err
    assert "stopped  after step 2: a callback asked for it: two are enough" in ended.out
    heard = json_lines((workplace / "heard.jsonl").read_text("utf-8"))
    assert [row[:5] for row in heard] == [
        ["begin", 0, 4, "", None],
        ["evaluate", 0, 4, "initial", None],
        ["step", 1, 4, "", None],
        ["step", 2, 4, "", None],
        ["end", 2, 4, "", "failed"],
        ["begin", 1, 4, "", None],
        ["step", 2, 4, "", None],
        ["evaluate", 2, 4, "final", None],
        ["end", 2, 4, "", "finished"],
    ]
    steps = metrics(run)
    assert heard[6][5] == steps[1]

    # And no service was told anything twice.
    assert_tensorboard_has(steps, run)
    kept = json.loads((run / "reported" / "tensorboard.json").read_text("utf-8"))
    assert kept["step"] == 2


def assert_tensorboard_has(steps: list[dict[str, Any]], run: Path) -> None:
    """Its own reader finds every number of metrics.jsonl, each step once."""
    seen = EventAccumulator(str(run / "tensorboard")).Reload()
    tags = set(seen.Tags()["scalars"])
    assert {
        "reward",
        "reward_std",
        "rewards/length/mean",
        "frac_reward_zero_std",
        "kl",
        "entropy",
        "clip_ratio/low_mean",
        "clip_ratio/high_mean",
        "cost/total",
        "eval/reward",
        "eval/rewards/quality/mean",
    } <= tags
    numbers = {key for row in steps for key, value in row.items() if value is not None} - {"step"}
    assert numbers <= tags
    for name in ("reward", "entropy", "cost/total"):
        assert [(e.step, round(e.value, 5)) for e in seen.Scalars(name)] == [
            (row["step"], round(row[name], 5)) for row in steps
        ]
    assert [e.step for e in seen.Scalars("eval/reward")] == [0, 2]


def test_a_callback_that_cannot_be_loaded_stops_the_run_before_it_starts(workplace: Path) -> None:
    (workplace / "mine.py").write_text("class Other: ...\n", encoding="utf-8")
    refused = orchestrator("run", '--set=callbacks=["mine:Heard"]', cwd=workplace)

    assert refused.code == 2
    assert "callbacks names 'mine:Heard': module 'mine' has no 'Heard'" in refused.err
    assert not (workplace / "runs").exists()
