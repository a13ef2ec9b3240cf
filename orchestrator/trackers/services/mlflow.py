"""MLflow. Its own settings hold: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, ...

The client is used and not ``mlflow.start_run``, which would note user, command and code.
"""

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec

import mlflow
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from orchestrator.callbacks import Ending
from orchestrator.trackers.services import PROJECT, About
from shared.errors import EnvironmentNotReady

STATUS: Mapping[Ending, str] = {
    "finished": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}
#: A name that others begin with cannot be a file in MLflow's file store.
RENAMED = {name: f"{name}/total" for name in ("calls", "clip_ratio", "failed")}
#: Characters that a parameter may have.
LONGEST_PARAM = 6000


class MLflow:
    """A run of an experiment; a resumed run is found by the id that MLflow gave it."""

    rewound = False

    def __init__(self, about: About) -> None:
        try:
            self._client = MlflowClient()
            self.id = about.known_id or self._begin(about)
            self._client.update_run(self.id, status="RUNNING")
        except MlflowException:
            if find_spec("sqlalchemy") is None and not _is_server(mlflow.get_tracking_uri()):
                raise EnvironmentNotReady(
                    "report_to has 'mlflow', and mlflow-skinny keeps runs on a server only: set"
                    " MLFLOW_TRACKING_URI=http://HOST:PORT, or keep them here: pip install mlflow"
                ) from None
            raise
        self.place = f"{mlflow.get_tracking_uri()} run {self.id}"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        now_ms = int(time.time() * 1000)
        rows = [
            Metric(RENAMED.get(name, name), value, now_ms, step) for name, value in metrics.items()
        ]
        self._client.log_batch(self.id, metrics=rows)

    def alarm(self, step: int, kind: str, words: str) -> None:
        self._client.set_tag(self.id, f"alarm.{kind}", f"step {step}: {words}")

    def close(self, ending: Ending) -> None:
        self._client.set_terminated(self.id, STATUS[ending])

    def _begin(self, about: About) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run: str = self._client.create_run(experiment, run_name=about.name).info.run_id
        params = [Param(key, str(value)[:LONGEST_PARAM]) for key, value in about.config.items()]
        self._client.log_batch(run, params=params)
        return run


open_run = MLflow


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://", "databricks"))
