"""What an evaluation's folder keeps of answers that were paid for, whatever befalls it."""

import json
from pathlib import Path

import pytest

from orchestrator.comparison.folder import LATE, LEDGER, ROWS, Folder
from orchestrator.ledger import GroupJob
from orchestrator.run_directory import RunDirectory
from shared.errors import UsageError
from shared.messages import Completion, GenerateJob, Reward, Sampling, ScoreJob, SlotPrompt

SLOT = 1


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "one--run")


def folder(run: RunDirectory) -> Folder:
    """The folder of one evaluation, as each of its processes opens it."""
    found = Folder(run, "eval", Path("fresh.jsonl"), {})
    found.begin({})
    return found


def job(scored: bool = True) -> GroupJob:
    prompts = (SlotPrompt(slot=SLOT, messages=(), draft="", seed=0),)
    place = {"run": "eval-1", "step": 0, "group": "trained-e001"}
    generate = GenerateJob(**place, prompts=prompts, sampling=Sampling(), purpose="eval")
    score = ScoreJob(
        **place, prompt="x", reference=None, terms=(), extra={}, rewards=(), purpose="eval"
    )
    return GroupJob(generate, score if scored else None, "")


def row(**parts: object) -> dict[str, object]:
    return {"group": "trained-e001", "slot": SLOT, "completion": None, "reward": None, **parts}


COMPLETION = Completion(slot=SLOT, text="Hi.", model="m", provider="p")
REWARD = Reward(slot=SLOT, value=0.5, parts={}, feedback="")


def late(found: Completion | Reward) -> dict[str, str]:
    role = "generate" if isinstance(found, Completion) else "score"
    result = json.dumps([type(found).__name__, found.model_dump(mode="json")])
    return {"step": "0", "group": "trained-e001", "field": f"{role}:{SLOT}", "result": result}


def test_an_answer_that_came_after_its_deadline_is_not_asked_for_again(run: RunDirectory) -> None:
    at_work = folder(run)
    at_work.keep([row(failure={"kind": "deadline"})])
    assert at_work.missing(job(scored=False)) == [SLOT]

    at_work.keep_late([late(COMPLETION)])

    for found in (at_work, folder(run)):
        assert found.missing(job(scored=False)) == []
        assert found.missing(job()) == [SLOT]

    at_work.keep_late([{"field": "score:x"}, late(REWARD)])

    for found in (at_work, folder(run)):
        assert found.answer("trained-e001", SLOT) == (COMPLETION, REWARD)
        assert found.missing(job()) == []


def test_a_row_behind_one_that_a_kill_has_torn_is_kept(run: RunDirectory) -> None:
    at_work = folder(run)
    (at_work.path / ROWS).write_text('{"group": "trained-e0', encoding="utf-8")
    text = COMPLETION.model_dump(exclude={"slot"}, mode="json")
    at_work.keep([row(completion=text)])

    assert folder(run).missing(job(scored=False)) == []
    assert not (at_work.path / LATE).exists()


def test_what_another_process_has_added_is_seen(run: RunDirectory) -> None:
    asked_first, other = folder(run), folder(run)
    text = COMPLETION.model_dump(exclude={"slot"}, mode="json")
    other.keep([row(completion=text)])

    asked_first.refresh()

    assert asked_first.missing(job(scored=False)) == []


@pytest.mark.parametrize("content", ["[1]", "{", '{"money": 3}', '{"money": {"spent:eval": "x"}}'])
def test_a_ledger_that_is_none_is_said(run: RunDirectory, content: str) -> None:
    at_work = folder(run)
    (at_work.path / LEDGER).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=LEDGER):
        at_work.ledger()
