"""The real command in a process of its own, as people type it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.processes import PATIENCE_S, put_down, wait_until

ROOT = Path(__file__).parents[1]
ORCHESTRATOR = Path(sys.executable).with_name("orchestrator")
#: A run of some tenths of a second beside start and stop.
SMALL = (
    "--steps=4",
    "--set=batch_size=4",
    "--set=group_size=6",
    "--set=eval_samples=1",
    "--set=eval_interval=0",
)


#: What ``held_after`` writes.
HOLD = """\
import time
from pathlib import Path

from orchestrator import Callback


class Hold(Callback):
    def on_step_end(self, state, control):
        if state.step == {step}:
            Path("held").touch()
            while not Path("go").exists():
                time.sleep(0.01)
"""


class Finished(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Ended(NamedTuple):
    """A run that has ended, and the folder it ran in."""

    how: Finished
    folder: Path

    @property
    def run(self) -> Path:
        return only_run(self.folder)

    @property
    def policy(self) -> bytes:
        return (self.run / "policy.json").read_bytes()


class Started:
    """A command that still runs; its output lies in files, so that no pipe fills up."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path, name: str) -> None:
        self.process = process
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def await_words(self, words: str) -> str:
        """Standard error, once it holds ``words``."""
        wait_until(lambda: words in self.err or self.process.poll() is not None, f"says {words}")
        assert words in self.err, self.err
        return self.err

    def await_step(self, folder: Path, step: int) -> Path:
        """The run directory below ``folder``, once it has the metrics of ``step``."""

        def reached() -> bool:
            return any(row["step"] >= step for row in metrics(only_run(folder)))

        self.await_words("  plan ")
        wait_until(reached, f"step {step} done")
        return only_run(folder)

    def await_hold(self, folder: Path) -> Path:
        """The run directory below ``folder``, once the run is held; see ``held_after``."""
        held = folder / "held"
        wait_until(lambda: held.exists() or self.process.poll() is not None, "the run is held")
        assert held.exists(), self.err
        return only_run(folder)

    def end(self) -> Finished:
        """Wait for the end."""
        code = self.process.wait(2 * PATIENCE_S)
        return Finished(code, self.out, self.err)


@contextmanager
def started(
    *arguments: str, cwd: Path, name: str = "command", **environment: str
) -> Iterator[Started]:
    """``orchestrator ARGUMENTS``; whatever still runs at the end is stopped."""
    with (
        (cwd / f"{name}.out").open("w", encoding="utf-8") as out,
        (cwd / f"{name}.err").open("w", encoding="utf-8") as err,
    ):
        process = subprocess.Popen(
            [ORCHESTRATOR, *arguments],
            cwd=cwd,
            env=clean_environment(cwd, environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            text=True,
        )
    try:
        yield Started(process, cwd, name)
    finally:
        put_down(process)


def orchestrator(*arguments: str, cwd: Path, name: str = "command", **env: str) -> Finished:
    """``orchestrator ARGUMENTS``, to its end."""
    with started(*arguments, cwd=cwd, name=name, **env) as command:
        return command.end()


def held_after(step: int, folder: Path) -> str:
    """The option that holds a run from ``folder`` when it has told of ``step``, until ``let_go``.

    Whatever is done to the run meanwhile is done at that step, however fast the machine is. The
    step is committed once the run is let go; a run is held only once.
    """
    (folder / "holding.py").write_text(HOLD.format(step=step), encoding="utf-8")
    return '--set=callbacks=["holding:Hold"]'


def let_go(folder: Path) -> None:
    """Let a held run go on."""
    (folder / "go").touch()


def clean_environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Ours without what a developer may have set, with a home of its own."""
    ours = {"REDIS_URL", "FLOWER_BASIC_AUTH", "WORKER_GROUPS", "OPENROUTER_API_KEY"}
    kept = {key: value for key, value in os.environ.items() if key not in ours}
    return {**kept, "HOME": str(home), "COLUMNS": "100", **more}


def run_directories(folder: Path) -> list[Path]:
    """The run directories below ``folder/runs``."""
    return [p for p in (folder / "runs").glob("*--*") if not p.is_symlink()]


def only_run(folder: Path) -> Path:
    """The one run directory below ``folder/runs``."""
    (found,) = run_directories(folder)
    return found


def json_lines(text: str) -> list[dict[str, Any]]:
    """The rows of JSON lines; every line must be one."""
    return [json.loads(line) for line in text.splitlines()]


def metrics(run: Path) -> list[dict[str, Any]]:
    """The steps in ``metrics.jsonl``, without the evaluations."""
    path = run / "metrics.jsonl"
    rows = json_lines(path.read_text(encoding="utf-8")) if path.exists() else []
    return [row for row in rows if "reward" in row]
