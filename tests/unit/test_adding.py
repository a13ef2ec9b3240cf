"""What the README says to add a reward or a provider is enough."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

from shared.messages import Sampling
from tests.running import ROOT
from worker.providers import providers

PROGRAM = """
from orchestrator.config import RunConfig
from orchestrator.inputs import reward_terms
from shared.messages import Completion, ScoreJob
from worker.rewards.table import check, score

terms = reward_terms(RunConfig(reward_funcs=("brief", "length")))
assert check(terms, frozenset()) == ()
job = ScoreJob(run="r", step=1, group="g", prompt="p", reference=None, terms=(), extra={},
               rewards=terms)
print(score(job, Completion(slot=0, text="Short.", model="m", provider="p")).parts["brief"])
"""


def test_a_reward_is_a_function_and_a_line(tmp_path: Path) -> None:
    page = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    told = "a function in `worker/rewards/` and its line in `shared/builtin_rewards.py`"
    assert f"Add a reward: {told}." in page
    for package in ("orchestrator", "worker", "shared"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)

    (tmp_path / "worker" / "rewards" / "brief.py").write_text(
        "def brief(completion: str) -> float:\n    return float(len(completion) < 10)\n"
    )
    listed = tmp_path / "shared" / "builtin_rewards.py"
    lines = listed.read_text().replace(
        '    "length":', '    "brief": "worker.rewards.brief:brief",\n    "length":'
    )
    listed.write_text(lines)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr


def test_every_provider_that_a_job_can_name_is_there() -> None:
    named = get_args(Sampling.model_fields["provider"].annotation)

    assert set(named) == set(providers(caller=None))  # type: ignore[arg-type]
