"""A run with a hosted model and a judge of hidden taste: what it finds, and how sure it is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.standin import Running, Settings, running
from tests.openrouter_runs import JUDGE, command, result, rollouts
from tests.standin_calls import MODEL

#: What the judge likes and nobody is told: concepts that are no feature of another.
LIKED, DISLIKED = ("decoherence", "quantum hardware"), "quantum gates"
NOISE = 0.05
PROMPTS, STEPS, GROUP = 8, 8, 8
HELD_OUT = 10


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Running]]:
    """The folder of a run that has ended, and the stand-in that served it."""
    folder = tmp_path_factory.mktemp("judged")
    for name, count in (("train", PROMPTS * STEPS), ("heldout", HELD_OUT)):
        rows = [
            {"id": f"{name}{i}", "text": f"Explain quantum computing to reader {i} of {name}."}
            for i in range(count)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    taste = {**dict.fromkeys(LIKED, 0.8), DISLIKED: -0.8}
    with running(Settings(latency_ms=1, preference=taste, noise=NOISE)) as standin:
        ended = command(
            standin,
            folder,
            "run",
            "--data=train.jsonl",
            "--heldout=heldout.jsonl",
            "--domain=quantum-computing",
            f"--model={MODEL}",
            f"--judge={JUDGE}",
            f"--steps={STEPS}",
            f"--set=batch_size={PROMPTS}",
            f"--set=group_size={GROUP}",
            "--set=eval_interval=0",
            "--set=max_tokens=800",
            "--set=rejudge_fraction=0.3",
            '--set=reward_funcs=["judge"]',
            '--set=eval_metrics=["length", "vocabulary"]',
        )
        assert ended.code == 0, ended.err
        (folder / "said").write_text(ended.out, encoding="utf-8")
        yield folder, standin


def explained(folder: Path, standin: Running) -> dict[str, Any]:
    ended = command(standin, folder, "explain", "latest", "--json")
    assert (ended.code, ended.err) == (0, "")
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_explain_names_the_truly_useful_concepts_first(judged: tuple[Path, Running]) -> None:
    folder, standin = judged
    before = standin.control("received?last=0")["count"]

    (domain,) = explained(folder, standin)["domains"]

    concepts = [choice for choice in domain["choices"] if choice["kind"] == "concept"]
    assert {choice["name"] for choice in concepts[:2]} == set(LIKED)
    assert all(choice["effect"]["low"] > 0 for choice in concepts[:2])
    assert concepts[-1]["name"] == DISLIKED
    assert concepts[-1]["effect"]["high"] < 0
    assert set(domain["deployed"]["concepts"]) == set(LIKED)
    assert standin.control("received?last=0")["count"] == before


def test_the_policy_is_compared_with_the_initial_one_and_with_no_concepts_at_all(
    judged: tuple[Path, Running],
) -> None:
    folder, _ = judged
    found, said = result(folder), (folder / "said").read_text(encoding="utf-8")

    assert found["heldout"]["verdict"] == found["heldout_vs_plain"]["verdict"] == "IMPROVED"
    assert found["heldout"]["prompts"] == found["heldout_vs_plain"]["prompts"] == HELD_OUT
    assert "against no concepts" in said
    plain = [row for row in rollouts(folder) if row.get("kind") == "plain"]
    assert len(plain) == HELD_OUT * 4
    for row in plain:
        assert (row["concepts"], row["features"], row["template"]) == ([], [], None)
        assert not any(word in row["completion"]["text"] for word in (*LIKED, DISLIKED))


def test_what_is_no_part_of_the_reward_is_measured_beside_it(
    judged: tuple[Path, Running],
) -> None:
    folder, _ = judged
    found = result(folder)

    assert set(found["parts"]) == {"judge"}
    assert set(found["eval_metrics"]) == {"length", "vocabulary"}
    for metric in found["eval_metrics"].values():
        assert metric["low"] <= metric["gain"] <= metric["high"]


def test_the_judges_noise_is_measured_from_texts_that_were_judged_twice(
    judged: tuple[Path, Running],
) -> None:
    folder, standin = judged
    found = result(folder)["instrument"]

    judge = found["judge"]
    trained = [row for row in rollouts(folder) if row["purpose"] == "train"]
    assert judge["pairs"] == sum(bool(row["rejudged"]) for row in trained) > 100
    # Scores are whole tenths: rounding adds 0.1 / sqrt(12) to the noise.
    assert judge["noise_std"] == pytest.approx((NOISE**2 + 0.01 / 12) ** 0.5, rel=0.25)
    assert 0.3 < judge["reliability"]["low"] < judge["reliability"]["high"] < 1
    assert (judge["without_score_at_first"], judge["parse_failure_rate"]) == (0, 0)
    assert found["length_correlation"]["low"] < found["length_correlation"]["high"]
    assert [row["effect"] for row in found["needed"]] == [0.02, 0.05, 0.1]
    assert explained(folder, standin)["instrument"] == found
    said = (folder / "said").read_text(encoding="utf-8")
    assert f"noise {judge['noise_std']:.3f} from {judge['pairs']} pairs" in said
