"""Texts in, answers out, by ``orchestrator.answering``."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.answering import Row, Wish, stream
from orchestrator.cli.generate import Shown, _answer
from orchestrator.config import RunConfig
from orchestrator.plans import Plan, Reply, drafted
from orchestrator.trained import Policy
from tests.trained_policies import policy_file


def test_what_was_answered_behind_a_line_that_was_not_is_kept_by_an_interruption(
    tmp_path: Path,
) -> None:
    policy = Policy.load(policy_file(tmp_path, RunConfig()))
    plans: list[Plan] = []
    rows: list[Row] = []

    async def answer(plan: Plan) -> Reply:
        plans.append(plan)
        if plan.text.endswith("slowly"):
            await asyncio.Event().wait()
        return drafted(plan)

    async def lines() -> AsyncIterator[bytes]:
        for word in ("slowly", "well", "now"):
            yield f"Explain qubits {word}".encode()

    async def interrupted() -> None:
        job = asyncio.create_task(stream(policy, lines(), Wish(answer), 4, rows.append))
        while len(plans) < 3:
            await asyncio.sleep(0)
        assert rows == []
        job.cancel()
        await asyncio.wait([job])
        assert job.cancelled()

    asyncio.run(interrupted())

    assert [row["line"] for row in rows] == [2, 3]


def test_the_samples_that_were_answered_are_kept_by_an_interruption(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = Policy.load(policy_file(tmp_path, RunConfig()))

    asked: list[Plan] = []

    async def answer(plan: Plan) -> Reply:
        asked.append(plan)
        if plan.seed == 1:
            await asyncio.Event().wait()
        return drafted(plan)

    async def interrupted() -> None:
        wish = Wish(answer, samples=3, seed=0)
        job = asyncio.create_task(_answer(policy, "Explain qubits", wish, Shown(True, False)))
        while len(asked) < 3:
            await asyncio.sleep(0)
        job.cancel()
        await asyncio.wait([job])
        assert job.cancelled()

    asyncio.run(interrupted())

    rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert [row["plan"]["seed"] for row in rows] == [0, 2]
