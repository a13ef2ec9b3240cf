"""Whole runs through Celery, Valkey and HTTP, judged by a stand-in with a hidden taste.

    python -m tests.benchmarks.hidden_taste [--seeds 3] [--calls 1024] [--json FILE]

A judge that favours two of ten concepts and dislikes one, on noisy texts that mention most of what
they were asked for. Per seed: the paid calls (generations, judgements and held-out evaluations
together), the share of the reachable gain that the learned policy has, and what ``explain`` names
first. Exit 1 below 0.9, or if a useful concept is not named first.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.rollouts import Action
from orchestrator.standin import Settings
from orchestrator.standin import running as standing_in
from tests.hidden_taste import DOMAIN, NOISE, PREFERENCE, USEFUL, Taste, taste
from tests.openrouter_runs import JUDGE, command
from tests.running import only_run
from tests.standin_calls import MODEL

BATCH, GROUP = 4, 8
#: Held-out prompts, asked once each: by the initial policy, the plain prompt and the trained one.
HELD_OUT, EVALUATIONS = 4, 3
ENOUGH = 0.9


class Learnt(NamedTuple):
    """One run."""

    calls: int
    reached: float
    first: list[str]
    verdict: str


def learn(folder: Path, truth: Taste, seed: int, calls: int) -> Learnt:
    """A run of as many steps as the calls allow."""
    steps = (calls - 2 * HELD_OUT * EVALUATIONS) // (2 * BATCH * GROUP)
    with standing_in(Settings(preference=dict(PREFERENCE), noise=NOISE, seed=seed)) as standin:
        how = command(
            standin, folder, "run", "--data=train.jsonl", "--heldout=heldout.jsonl", "--no-live",
            f"--domain={DOMAIN}", f"--model={MODEL}", f"--judge={JUDGE}", f"--steps={steps}",
            f"--set=batch_size={BATCH}", f"--set=group_size={GROUP}", "--set=max_tokens=800",
            '--set=reward_funcs=["judge"]', "--set=eval_interval=0", "--set=eval_samples=1",
            f"--set=seed={seed}", "--yes",
        )  # fmt: skip
        assert how.code == 0, how.err
        run = only_run(folder)
        explained = command(standin, folder, "explain", str(run), "--json")
        assert explained.code == 0, explained.err
        paid = standin.control("ledger?generations=0")["billed_generations"]
    return Learnt(
        paid,
        truth.reached(_deployed(run, truth)),
        _concepts_first(json.loads(explained.out))[: len(USEFUL)],
        json.loads((run / "run.json").read_text())["heldout"]["verdict"],
    )


def _deployed(run: Path, truth: Taste) -> Action:
    (domain,) = truth.inputs.domains.values()
    (learnt,) = json.loads((run / "policy.json").read_text())["domains"]
    best = learnt["greedy"]
    return Action(
        tuple(sorted(domain.concepts.index(name) for name in best["concepts"])),
        best["template"],
        tuple(sorted(domain.features.index(name) for name in best["features"])),
    )


def _concepts_first(explained: dict[str, Any]) -> list[str]:
    (domain,) = explained["domains"]
    return [choice["name"] for choice in domain["choices"] if choice["kind"] == "concept"]


def main() -> None:
    """Print a line per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=1024)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as place:
        truth = taste(Path(place), HELD_OUT)
        print(f"uniform policy {truth.uniform:.3f}   best action {truth.best:.3f}", flush=True)
        for seed in range(wanted.seeds):
            folder = Path(place) / str(seed)
            folder.mkdir()
            taste(folder, HELD_OUT)
            learnt = learn(folder, truth, seed, wanted.calls)
            found.append(learnt)
            print(
                f"seed {seed}   {learnt.calls:,} paid calls   {learnt.reached:.3f} of the reachable"
                f" gain   first: {', '.join(learnt.first)}   {learnt.verdict}",
                flush=True,
            )
    if wanted.json:
        wanted.json.write_text(json.dumps([one._asdict() for one in found]))
    sys.exit(any(one.reached < ENOUGH or set(one.first) != USEFUL for one in found))


if __name__ == "__main__":
    main()
