"""``rollouts.jsonl`` read once: what is counted, what is shown, and what is left out."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.intervals import t_interval
from orchestrator.report.html.jsonl_rows import offset_rows
from orchestrator.report.html.rollout_scan import PER_PROMPT, POINTS, TRAINED, scan
from tests.reported import completion, row


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rollouts.jsonl"


def write(file: Path, rows: Iterable[dict[str, Any] | str]) -> None:
    lines = (each if isinstance(each, str) else json.dumps(each) for each in rows)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def spread(count: int) -> list[dict[str, Any]]:
    """Rows of different prompts and texts, with rewards from 0 to 1 in an order of their own."""
    order = [(i * 37) % count for i in range(count)]
    return [
        row(group=f"e{i}", prompt=f"p{i}", reward=i / (count - 1), completion=completion(f"t{i}"))
        for i in order
    ]


def test_best_median_and_worst_are_found_and_stand_in_order(file: Path) -> None:
    write(file, spread(101))
    found = scan(file, {})

    by_rank = {rank: [s.reward for s in found.shown if s.rank == rank] for rank in
               ("best", "median", "worst")}  # fmt: skip
    assert by_rank["best"] == pytest.approx([1 - i / 100 for i in range(TRAINED)])
    assert by_rank["worst"] == pytest.approx([i / 100 for i in range(TRAINED)])
    assert by_rank["median"][0] == 0.5
    assert all(abs(reward - 0.5) <= 0.06 for reward in by_rank["median"] if reward is not None)


def test_a_text_is_shown_once_and_a_prompt_seldom(file: Path) -> None:
    same_text = [row(slot=i, reward=0.9) for i in range(20)]
    same_prompt = [row(slot=i, reward=0.8, completion=completion(f"t{i}")) for i in range(20)]
    write(file, [*same_text, *same_prompt])

    best = [shown.text.shown for shown in scan(file, {}).shown if shown.rank == "best"]
    assert len(best) == PER_PROMPT
    assert best[0] == "It is so."


def test_the_level_of_an_update_is_over_its_prompts(file: Path) -> None:
    rewards = {"e1": (0.2, 0.4), "e2": (0.6, 0.8), "e3": (0.5,)}
    rows = [
        row(group=group, slot=slot, reward=reward, update=3)
        for group, values in rewards.items()
        for slot, reward in enumerate(values)
    ]
    write(file, rows)

    (level,) = scan(file, {3: 1.25}).levels
    means = np.array([0.3, 0.7, 0.5])
    expected = t_interval(means.mean(), means.std(ddof=1) / math.sqrt(3), 2)
    assert (level.step, level.cost_usd, level.prompts) == (3, 1.25, 3)
    assert level[2:5] == pytest.approx(tuple(expected))


def test_ten_thousand_steps_become_a_curve_that_a_screen_can_show(file: Path) -> None:
    write(file, [row(update=u, step=u, reward=u / 10_000) for u in range(1, 10_001)])

    levels = scan(file, {}).levels
    assert len(levels) <= POINTS
    assert levels[-1].step == 10_000
    assert sum(level.prompts for level in levels) == 10_000


def test_failures_are_counted_by_kind_and_shown(file: Path) -> None:
    failed = {"kind": "timeout", "message": "too slow", "attempts": 3, "cost_usd": 0.0}
    gone = row(reward=None, completion=None, parts=None, feedback=None, failure=failed)
    write(file, [row(), gone, {**gone, "purpose": "eval"}])

    found = scan(file, {})
    assert found.failures == (("timeout", 1, 1, "too slow"),)
    assert (found.trained, found.held_out, found.without_reward) == (2, 1, 2)
    assert [s.failure for s in found.shown if s.rank == "failed"] == ["timeout: too slow"] * 2


def test_latency_has_its_quantiles_and_every_completion_in_a_bin(file: Path) -> None:
    seconds = [0.0, 0.01, 0.1, 0.2, 0.3, 40.0]
    write(file, [row(slot=i, completion=completion("t", s)) for i, s in enumerate(seconds)])

    latency = scan(file, {}).latency
    assert latency is not None
    assert latency.p50_s == pytest.approx(0.15)
    assert latency.max_s == 40
    assert sum(count for *_, count in latency.bins) == len(seconds)


def test_held_out_rollouts_of_the_end_are_shown_apart(file: Path) -> None:
    held_out = row(purpose="eval", kind="final", reward=0.7, completion=completion("held"))
    on_the_way = row(purpose="eval", kind="interval", reward=0.9, completion=completion("way"))
    write(file, [row(), held_out, on_the_way])

    shown = [(s.text.shown, s.rank) for s in scan(file, {}).shown if not s.trained]
    assert shown == [("held", "best"), ("held", "median"), ("held", "worst")]


def test_broken_and_foreign_lines_are_left_out(file: Path) -> None:
    other = [row(reward="high"), row(reward=math.nan), row(completion=7), row(concepts=None)]
    write(file, ["{", "[]", "null", '{"purpose": "train"}', *other, row()])
    with file.open("ab") as appended:
        appended.write(b'\xff\xfe{"half": ')

    assert scan(file, {}).trained == 3
    assert [s.reward for s in scan(file, {}).shown] == [0.5, 0.5, 0.5]
    assert list(offset_rows(file.with_name("none"))) == []
    assert scan(file.with_name("none"), {}).shown == ()


def test_a_thousand_invented_models_are_not_a_thousand_names(file: Path) -> None:
    write(file, [row(completion=completion("t", model=f"model {i}")) for i in range(1000)])

    answered = scan(file, {}).answered_by
    assert answered[0][0] == "others"
    assert answered[0][2] >= 700
    assert len(answered) <= 20
