"""Runs of the real command against a stand-in: small, with a judge, and what they leave behind."""

import json
from pathlib import Path
from typing import Any

from orchestrator.data import BUILTIN_HELDOUT, BUILTIN_TRAIN
from orchestrator.standin import DEFAULT_KEY, Running
from tests.processes import wait_until
from tests.running import Finished, json_lines, only_run, orchestrator
from tests.standin_calls import MODEL

JUDGE = "anthropic/claude-haiku-5.5"
#: Held-out prompts of these runs.
HELD_OUT = 2
#: Each is answered before, after, and without concepts.
ASKED_HELD_OUT = 3 * HELD_OUT


def arguments(folder: Path, *more: str, judge: bool = True, prompts: int = 4) -> tuple[str, ...]:
    """``run`` with a few of the built-in examples."""
    for name, source, count in (
        ("train", BUILTIN_TRAIN, prompts),
        ("heldout", BUILTIN_HELDOUT, HELD_OUT),
    ):
        lines = source.read_text(encoding="utf-8").splitlines()[:count]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return (
        "run",
        "--data=train.jsonl",
        "--heldout=heldout.jsonl",
        f"--model={MODEL}",
        *((f"--judge={JUDGE}",) if judge else ()),
        f"--set=batch_size={prompts}",
        "--set=eval_interval=0",
        "--set=eval_samples=1",
        # More than the stand-in ever writes: no answer is cut by itself.
        "--set=max_tokens=800",
        # No worker counts as dead because the machine is busy; with --redis workers have their own.
        *(() if any(word.startswith("--redis") for word in more) else ("--set=worker_lease_s=60",)),
        *more,
    )


def pointed_at(standin: Running, key: str = DEFAULT_KEY) -> dict[str, str]:
    """The environment of a run that uses the stand-in."""
    return {"OPENROUTER_BASE_URL": standin.base_url, "OPENROUTER_API_KEY": key}


def hold_step(standin: Running, step: int, answered: int = 6) -> None:
    """Answer so many calls of a step, and hold the answers to all others until ``let_answers_go``.

    Whatever is done to the run meanwhile is done in the middle of that step, however fast the
    machine is. Blanks before an answer mean nothing.
    """
    where = f"/s{step:03d}/"
    spared = {"fault": "padded", "body": where, "times": answered}
    held = {"fault": "slow", "body": where, "times": None}
    standin.control("settings", {"slow_s": 3600})
    standin.control("faults", {"matches": [spared, held]})


def await_held(standin: Running) -> None:
    """Wait until an answer is held; see ``hold_step``."""
    wait_until(lambda: held_answers(standin), "an answer is held")


def held_answers(standin: Running) -> int:
    """How many answers are held, or were."""
    found = standin.control("received?last=0")["by_fault"]
    return int(found.get("slow", 0))


def let_answers_go(standin: Running) -> None:
    """Send what is held, and hold nothing more."""
    standin.control("faults", {"clear": True})
    standin.control("settings", {"slow_s": 0})


def command(standin: Running, folder: Path, *words: str) -> Finished:
    """``orchestrator WORDS`` to its end; the name of its output is new each time."""
    name = f"command{len(list(folder.glob('*.err')))}"
    return orchestrator(*words, cwd=folder, name=name, **pointed_at(standin))


def result(folder: Path) -> dict[str, Any]:
    """``run.json`` of the one run."""
    found: dict[str, Any] = json.loads((only_run(folder) / "run.json").read_text("utf-8"))
    return found


def rollouts(folder: Path) -> list[dict[str, Any]]:
    """``rollouts.jsonl`` of the one run."""
    return json_lines((only_run(folder) / "rollouts.jsonl").read_text("utf-8"))


def nusd(cost: dict[str, Any], *kinds: str) -> int:
    """Kinds of money of ``run.json`` over all roles, in 1e-9 USD."""
    return sum(round(dollars * 1e9) for kind in kinds for dollars in cost[kind].values())
