"""``explain`` and ``replay`` as people type them, on runs that have ended."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.running import (
    SMALL,
    Ended,
    Finished,
    json_lines,
    only_run,
    orchestrator,
    run_directories,
)

RUN = "small"


@pytest.fixture
def ended(workplace: Path, small_run: Ended) -> Path:
    """A copy of an ended run, as ``runs/small``."""
    assert small_run.how.code == 0, small_run.how.err
    shutil.copytree(small_run.run, workplace / "runs" / RUN)
    return workplace / "runs" / RUN


def command(folder: Path, *words: str) -> Finished:
    return orchestrator(*words, cwd=folder, name=words[0])


def as_json(folder: Path, *words: str) -> dict[str, Any]:
    ended = command(folder, *words, "--json")
    assert (ended.code, ended.err) == (0, "")
    found: dict[str, Any] = json.loads(ended.out)
    return found


def refused(folder: Path, *words: str, code: int = 2) -> str:
    ended = command(folder, *words)
    assert (ended.code, ended.out) == (code, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    return line


def rollouts(run: Path) -> list[dict[str, Any]]:
    return json_lines((run / "rollouts.jsonl").read_text(encoding="utf-8"))


def test_explain_says_of_every_choice_what_it_is_worth_and_from_how_many_rollouts(
    workplace: Path, ended: Path
) -> None:
    found = as_json(workplace, "explain", RUN)

    trained = [row for row in rollouts(ended) if row["purpose"] == "train"]
    assert sum(domain["rollouts"] for domain in found["domains"]) == len(trained)
    policy = json.loads((ended / "policy.json").read_text(encoding="utf-8"))
    for domain, deployed in zip(found["domains"], policy["domains"], strict=True):
        concepts = [c for c in domain["choices"] if c["kind"] == "concept"]
        effects = [choice["effect"]["value"] for choice in concepts]
        assert effects == sorted(effects, reverse=True)
        for choice in concepts:
            own = [
                row
                for row in trained
                if row["domain"] == domain["domain"] and choice["name"] in row["concepts"]
            ]
            assert choice["rollouts"] == len(own)
            assert choice["start"] == pytest.approx(0.2)
            assert choice["now"] == pytest.approx(deployed["concepts"][choice["name"]])
            low, value, high = (choice["effect"][key] for key in ("low", "value", "high"))
            assert low <= value <= high
            assert set(choice["parts"]) == {"length", "vocabulary", "structure", "quality"}
        assert domain["deployed"]["concepts"] == deployed["greedy"]["concepts"]
    assert found["verdict"] == found["heldout"]["verdict"] == "IMPROVED"


def test_explain_as_a_table_and_as_a_card(workplace: Path, ended: Path) -> None:
    table = command(workplace, "explain", RUN)
    everything = command(workplace, "explain", RUN, "--all")
    card = command(workplace, "explain", RUN, "--card")

    assert (table.code, table.err) == (0, "")
    assert "features without a clear effect; --all shows them" in table.out
    assert "--all shows them" not in everything.out
    assert len(everything.out.splitlines()) > len(table.out.splitlines())
    assert card.out.startswith(f"# Policy card: {RUN}\n")
    for words in (
        "## Does it help?",
        "**IMPROVED**",
        "| better |",
        "Deployed:",
        "## How far to trust the reward",
    ):
        assert words in card.out
    assert "choose one" in refused(workplace, "explain", RUN, "--card", "--json")


def test_explain_refuses_what_it_cannot_know(workplace: Path, ended: Path) -> None:
    assert "no run called 'nobody'" in refused(workplace, "explain", "nobody")

    policies = ended / "policies.jsonl"
    rows = json_lines(policies.read_text(encoding="utf-8"))
    rows[-1]["params"]["theta"][0] += 0.5
    policies.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert "acted by other params" in refused(workplace, "explain", RUN)

    shutil.rmtree(ended / "checkpoints")
    assert "no step has been finished" in refused(workplace, "explain", RUN)


def test_a_replay_without_changes_gives_the_policy_to_the_last_bit(
    workplace: Path, ended: Path
) -> None:
    found = as_json(workplace, "replay", RUN, "-o", "again.json")

    assert (workplace / "again.json").read_bytes() == (ended / "policy.json").read_bytes()
    assert (found["calls"], found["cost"]["total_usd"]) == (0, 0.0)
    assert run_directories(workplace) == []


@pytest.mark.parametrize(
    "setting",
    [
        "max_staleness=2",
        "dynamic_sampling=2",
        "duplicate_actions=redraw",
        "algorithm.solver=clipped",
    ],
)
def test_a_replay_takes_the_groups_that_each_update_took(workplace: Path, setting: str) -> None:
    slow = "--set=template_latency_s=0.01"
    trained = command(workplace, "run", *SMALL, slow, f"--set={setting}")
    assert trained.code == 0, trained.err

    found = as_json(workplace, "replay", "latest", "-o", "again.json")

    run = only_run(workplace)
    assert (workplace / "again.json").read_bytes() == (run / "policy.json").read_bytes()
    assert bool(found["off_policy"]) == (setting != "duplicate_actions=redraw")


def test_a_replay_with_other_weights_is_a_run_directory_of_its_own(
    workplace: Path, ended: Path
) -> None:
    shown = command(workplace, "replay", RUN, "--set", "reward_weights=[0, 0, 1, 0]")

    assert (shown.code, shown.err) == (0, "")
    assert "0 calls, $0.00   reward: length 0%, vocabulary 0%, structure 100%" in shown.out
    (made,) = run_directories(workplace)
    assert f"policy   {made.relative_to(workplace)}/policy.json" in shown.out
    result = json.loads((made / "run.json").read_text(encoding="utf-8"))
    assert result["replay_of"] == RUN
    assert (made / "policy.json").read_bytes() != (ended / "policy.json").read_bytes()
    old = [row for row in rollouts(ended) if row["purpose"] == "train"]
    new = rollouts(made)
    assert [row["completion"] for row in new] == [row["completion"] for row in old]
    assert [row["reward"] for row in new] == [row["parts"]["structure"] for row in old]
    # What was replayed can be explained and replayed like any run.
    explained = as_json(workplace, "explain", made.name)
    assert explained["rewards"] == {"length": 0, "vocabulary": 0, "structure": 1, "quality": 0}
    again = as_json(workplace, "replay", made.name, "-o", "again.json")
    assert again["rollouts"] == len(old)
    assert (workplace / "again.json").read_bytes() == (made / "policy.json").read_bytes()


def test_a_replay_tells_what_policies_are_worth_and_refuses_what_it_cannot(
    workplace: Path, ended: Path
) -> None:
    found = as_json(workplace, "replay", RUN, "--set", "algorithm.solver=clipped", "-o", "p.json")

    assert found["solver"] == "clipped"
    assert [row["policy"] for row in found["off_policy"]] == [
        "initial policy",
        "trained as it was",
        "trained like this",
    ]
    for row in found["off_policy"]:
        assert (row["refused"] is None) == ("dr" in row)
    # Sharp and elsewhere: nobody has tried that.
    policy = json.loads((ended / "policy.json").read_text(encoding="utf-8"))
    for domain in policy["domains"]:
        domain["logits"]["concepts"][0] = 40.0
    (workplace / "other.json").write_text(json.dumps(policy), encoding="utf-8")
    line = refused(workplace, "replay", RUN, "--policy", "other.json", code=4)
    assert "no estimate from the rollouts of small" in line
    assert "judge it on held-out prompts instead" in line


def test_a_replay_refuses_settings_and_policies_that_make_no_sense(
    workplace: Path, ended: Path
) -> None:
    for setting, words in {
        "max_steps=3": "cannot change max_steps",
        "reward_weights=[1, 2]": "reward_weights has 2 entries",
        "reward_weights=[0, 0, 0, 0]": "all 0",
        "reward_funcs=['tests.custom_rewards:my_reward']": "was not recorded in step 1",
        "algorithm.gama=0.9": "did you mean",
    }.items():
        assert words in refused(workplace, "replay", RUN, "--set", setting)
    own = str(ended / "policy.json")
    assert "trained on these very rollouts" in refused(workplace, "replay", RUN, "--policy", own)
    (workplace / "bad.json").write_text("{}", encoding="utf-8")
    assert "no policy for the domains" in refused(workplace, "replay", RUN, "--policy", "bad.json")
    both = refused(workplace, "replay", RUN, "--policy", own, "-o", "x.json")
    assert "omit -o" in both
    assert run_directories(workplace) == []
