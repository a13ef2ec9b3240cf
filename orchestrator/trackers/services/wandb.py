"""Weights & Biases. Its own settings hold: WANDB_API_KEY, WANDB_MODE=offline, WANDB_PROJECT, ...

What it would gather by itself is switched off where it could hold a secret: the command line, the
environment, the terminal, the code.
"""

import hashlib
import os
from collections.abc import Mapping

import wandb

from orchestrator.callbacks import Ending
from orchestrator.trackers.services import PROJECT, About


class WeightsAndBiases:
    """A run whose id follows from the run's name, so that a resumed run finds it."""

    rewound = False

    def __init__(self, about: About) -> None:
        self.id = hashlib.blake2b(about.name.encode(), digest_size=8).hexdigest()
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=self.id,
            name=about.name,
            dir=str(about.path),
            resume="allow",
            config=dict(about.config),
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        sync = f"wandb sync {about.path}/wandb/offline-run-*"
        self.place = sync if self._run.offline else str(self._run.url)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def alarm(self, step: int, kind: str, words: str) -> None:
        self._run.alert(f"step {step}: {kind}", words)

    def close(self, ending: Ending) -> None:
        self._run.finish(exit_code=0 if ending == "finished" else 1)


open_run = WeightsAndBiases
