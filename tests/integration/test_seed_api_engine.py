"""The Python API's engine: shared, awaited, given, restarted, and gone when the program ends."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestrator
from orchestrator import GRPOOptimizer, RewardModule, TextGeneratorModule, TextOutput
from orchestrator.embedded import connect
from shared.errors import EnvironmentNotReady
from tests.processes import alive, needs_proc
from tests.seed_api import SEVERAL, TRAINING_DATA, embedded_engine, trainer
from tests.working import Worker

ROOT = Path(__file__).parents[2]
#: Uses the API without stopping it, and names the processes that this has started.
SCRIPT = """
import os
from orchestrator import TextGeneratorModule
from tests.processes import descendants
print(TextGeneratorModule().run({"text": "Explain qubits"})["domain"])
print(*descendants(os.getpid()))
"""


class SlowReward(RewardModule):
    async def calculate_reward(self, output: TextOutput) -> float:
        await asyncio.sleep(0.05)
        return len(output["generated"]) / 10_000


@pytest.fixture(scope="module", autouse=True)
def engine(server: str) -> Iterator[None]:
    """Where ``server`` cannot start, neither can the embedded one: it skips, or fails, for both."""
    with embedded_engine():
        yield


def test_the_async_twins_train_and_answer() -> None:
    texts = ["Explain qubits", "Explain neural networks", "Explain training data"]
    seen: list[int] = []

    async def watch(metrics: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        seen.append(metrics["batch"])

    async def everything() -> list[TextOutput]:
        model = await orchestrator.acreate_fine_tuned_model(
            SEVERAL, verbose=False, on_batch_complete=watch, batch_size=3
        )
        outputs = await asyncio.gather(*(model.arun({"text": text}) for text in texts))
        group = await model.asample({"text": "Explain qubits"}, 4)
        rewards = await asyncio.gather(*(RewardModule().arun(output) for output in group))
        await GRPOOptimizer().aupdate(model, group, rewards)
        manager = trainer(model, SlowReward())
        await manager.atrain_on_batch(TRAINING_DATA)
        # Also without a twin, from within a running loop.
        manager.train_on_batch(TRAINING_DATA)
        return list(outputs)

    outputs = asyncio.run(everything())

    assert [output.input["text"] for output in outputs] == texts
    assert [output["domain"] for output in outputs] == [
        "quantum computing",
        "neural networks",
        "machine learning",
    ]
    assert seen == [1, 2]


def test_after_a_shutdown_the_next_call_starts_a_new_engine() -> None:
    model = TextGeneratorModule()
    orchestrator.shutdown()
    orchestrator.shutdown()

    assert model.run({"text": "Explain qubits"})["domain"] == "quantum computing"


def test_a_given_server_is_used_and_left_tidy(
    server: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator.shutdown()
    monkeypatch.setenv("REDIS_URL", f"{server}/0")
    with connect(f"{server}/0") as redis:
        before = set(redis.scan_iter("cgrpo:{api-*"))

        trainer().train_on_batch(TRAINING_DATA)
        RewardModule().run({"generated": "A text."})

        left = set(redis.scan_iter("cgrpo:{api-*")) - before
        assert [key.rpartition(":")[2] for key in left if ":lease:" not in key] == ["events"]
        no_expiry = -1
        assert [key for key in left if redis.ttl(key) == no_expiry] == []
        redis.delete(*left)
    orchestrator.shutdown()


def test_a_given_server_that_fails_is_an_error_and_no_reason_to_start_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orchestrator.shutdown()
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    with pytest.raises(EnvironmentNotReady, match=r"Redis at redis://127\.0\.0\.1:1/0"):
        TextGeneratorModule().run({"text": "Explain qubits"})

    monkeypatch.delenv("REDIS_URL")
    assert TextGeneratorModule().run({"text": "Explain qubits"})["domain"] == "quantum computing"


@needs_proc
def test_a_program_that_ends_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=40,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    domain, pids = ended.stdout.splitlines()
    assert domain == "quantum computing"
    assert pids.split()
    assert [pid for pid in pids.split() if alive(int(pid))] == []
    assert list(tmp_path.iterdir()) == []
