"""A newcomer's folder: files with our names, functions beside the config, a run from elsewhere."""

import json
import shutil
from pathlib import Path

from tests.running import SMALL, only_run, orchestrator

REWARDS = """
from pathlib import Path
from orchestrator import Callback

def fine(completion, mark=""):
    if mark:
        Path(mark).touch()
    return len(completion) % 7 / 7

class Told(Callback):
    def on_train_begin(self, state, control):
        Path("told").touch()
"""


def test_a_folder_with_files_of_our_names_runs_and_a_run_from_elsewhere_asks_first(
    tmp_path: Path,
) -> None:
    for name in ("worker", "redis", "celery", "json", "numpy", "flower"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the user')\n")
    for name in ("shared", "orchestrator"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} of the user')\n")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.py").write_text(REWARDS)
    config = tmp_path / "configs" / "run.toml"
    config.write_text('reward_funcs = ["length", "mine:fine"]\ncallbacks = ["mine:Told"]\n')

    trained = orchestrator("run", "configs/run.toml", *SMALL, cwd=tmp_path)

    assert trained.code == 0, trained.err
    assert (tmp_path / "told").exists()

    # Given the same run as if it had been received, with an option that leaves a mark.
    received = tmp_path / "runs" / "received--template--20260101-0000-aaaa"
    shutil.copytree(only_run(tmp_path), received)
    kept = json.loads((received / "config.json").read_text(encoding="utf-8"))
    kept["reward_options"] = {"mine:fine": {"mark": str(tmp_path / "mark")}}
    (received / "config.json").write_text(json.dumps(kept))
    data = tmp_path / "data.jsonl"
    data.write_text('{"text": "Explain qubits and superposition"}\n')
    ask = ("eval", received.name, f"--data={data}", "-n1")

    refused = orchestrator(*ask, cwd=tmp_path, name="refused")
    resumed = orchestrator("run", "--resume", received.name, cwd=tmp_path, name="resumed")

    assert refused.code == resumed.code == 2
    assert "mine:fine, mine:Told" in refused.err
    assert "--trust" in resumed.err
    assert not (tmp_path / "mark").exists()
    assert orchestrator(*ask, "--trust", cwd=tmp_path, name="trusted").code == 0
    assert (tmp_path / "mark").exists()
