"""The journeys of people who use and compare trained policies: Python, ``eval`` and ``ab``."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from tests.comparing import TEXTS, copied_run
from tests.openrouter_runs import JUDGE
from tests.running import Ended, clean_environment
from tests.standin_calls import MODEL
from tests.terminal import terminal

#: Journey 4, word for word but for the model's name and the prompts that are left open there.
USE = f"""
from orchestrator import Policy

policy = Policy.load("runs/latest")
plan = policy.plan("Explain qubits", seed=7)
assert plan == policy.plan("Explain qubits", seed=7)
assert plan.messages and plan.domain and plan.template and plan.concepts and plan.features
assert plan.log_prob < 0
reply = policy.generate("Explain qubits", model="{MODEL}")
assert reply.text and reply.quality is None and reply.cost_usd > 0

import asyncio
asynchronous = asyncio.run(policy.agenerate("Explain qubits", model="{MODEL}"))
assert asynchronous.text
print("used")
"""
SEED = """
from orchestrator import create_fine_tuned_model

training_data = [
    {"input": {"text": "Explain quantum computing"},
     "output": {"generated": "Quantum computing uses qubits.", "quality": 0.9}},
    {"input": {"text": "Explain neural networks"}},
]
model = create_fine_tuned_model(
    training_data,
    base_prompt="Generate a high-quality explanation.",
    reward_prompt="Judge the explanation.",
    optimizer_config={"learningRate": 0.05, "epochs": 2},
)
result = model.run({"text": "Explain neural networks"})
assert result["generated"]
print("seeded")
"""


@pytest.fixture(scope="module")
def standin() -> Iterator[Running]:
    with running(Settings(latency_ms=5)) as standin:
        yield standin


def environment(standin: Running) -> dict[str, str]:
    return {"OPENROUTER_BASE_URL": standin.base_url, "OPENROUTER_API_KEY": DEFAULT_KEY}


@pytest.fixture
def trained(small_run: Ended, workplace: Path) -> Path:
    """A folder with a run of the template engine, and two of a model that like other things."""
    for name, liked, model in (
        ("plain--run", "", ""),
        ("support--c2e1", "decoherence", MODEL),
        ("support--91aa", "quantum hardware", MODEL),
    ):
        copied_run(small_run, workplace, name, liked, model)
    (workplace / "runs" / "latest").symlink_to("plain--run")
    rows = "".join(f'{{"text": "{text}"}}\n' for text in TEXTS[:6])
    (workplace / "heldout.jsonl").write_text(rows, encoding="utf-8")
    return workplace


def test_a_policy_and_the_seeds_call_work_in_peoples_own_code(
    standin: Running, trained: Path
) -> None:
    for program, word in ((USE, "used"), (SEED, "seeded")):
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=trained,
            env=clean_environment(trained, environment(standin)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[-1] == word


def test_runs_are_compared_with_intervals(standin: Running, trained: Path) -> None:
    interval = r"95% CI \[[+-]0\.\d+, [+-]0\.\d+\]   wins \d ties \d losses \d   [A-Za-z ]+"
    with terminal(trained, environment(standin)) as person:
        person.type(
            "orchestrator eval c2e1 --data heldout.jsonl --baseline initial -n 2 --min-gain -1"
        )
        asked = person.wait_for(r"\[Y/n\]")
        assert "data     6 prompts x 2 samples" in asked
        assert re.search(r"estimate \$0\.\d+ expected, \$0\.\d+ at most", asked)
        person.type("y")
        shown = person.end(0)
        assert "6 prompts x 2 samples, paired by prompt, same draws" in shown
        for arm in ("initial", "plain"):
            assert re.search(
                rf"{arm} +0\.\d+   trained 0\.\d+   gain [+-]0\.\d+  {interval}", shown
            )
        assert "gate     passed" in shown

        shown = person.run(f"orchestrator ab c2e1 91aa --judge {JUDGE} --data heldout.jsonl --yes")
        assert re.search(r"blind, both orders asked: A \d · B \d · tie \d of 6 prompts", shown)
        assert re.search(r"order flipped the verdict in \d of 6 pairs", shown)
        assert re.search(r"A preferred \d+% \(95% CI \[\d+%, \d+%\], ties half\)   [A-Z]+", shown)
