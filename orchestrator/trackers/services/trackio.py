"""Trackio. Its own settings hold: TRACKIO_DIR, TRACKIO_SPACE_ID, ..."""

import contextlib
import io
import os
from collections.abc import Mapping

import trackio

from orchestrator.callbacks import Ending
from orchestrator.trackers.services import PROJECT, About


class Trackio:
    """A run that is found by its name when it is resumed."""

    rewound = False

    def __init__(self, about: About) -> None:
        self.id = about.name
        project = os.environ.get("TRACKIO_PROJECT") or PROJECT
        # It prints to stdout, where results belong.
        with contextlib.redirect_stdout(io.StringIO()):
            self._run = trackio.init(
                project=project,
                name=about.name,
                resume="allow",
                config=dict(about.config),
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        self.place = f"trackio show --project {project}"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def alarm(self, step: int, kind: str, words: str) -> None:
        self._run.alert(title=f"step {step}: {kind}", text=words)

    def close(self, ending: Ending) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._run.finish()


open_run = Trackio
