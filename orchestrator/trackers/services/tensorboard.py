"""TensorBoard: event files in the run directory. ``tensorboard --logdir runs`` compares runs."""

import json
from collections.abc import Mapping

from tensorboardX import SummaryWriter

from orchestrator.callbacks import Ending
from orchestrator.trackers.services import About


class TensorBoard:
    """Scalars by step, the config and alarms as texts."""

    rewound = True

    def __init__(self, about: About) -> None:
        folder = about.path / "tensorboard"
        self.id = folder.name
        self.place = f"tensorboard --logdir {about.path.parent}"
        resumed = about.known_id is not None
        # The reader drops what an earlier attempt wrote from this step on.
        self._writer = SummaryWriter(
            str(folder), purge_step=about.first_step if resumed else None, flush_secs=5
        )
        if not resumed:
            config = json.dumps(about.config, indent=2, ensure_ascii=False)
            self._writer.add_text("config", "\n".join(f"    {line}" for line in config.split("\n")))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def alarm(self, step: int, kind: str, words: str) -> None:
        self._writer.add_text(f"alarm/{kind}", words, step)

    def close(self, ending: Ending) -> None:
        self._writer.close()


open_run = TensorBoard
