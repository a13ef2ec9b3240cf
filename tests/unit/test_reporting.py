"""Services of ``report_to``, in the place of each service a small module that writes down what it
is told: it lies on the path under the name of the package that it stands for."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import extras
from orchestrator.alarms import Alarm
from orchestrator.config import RunConfig
from orchestrator.extras import Package, require_services
from orchestrator.rollouts import StepReport
from orchestrator.run_directory import RunDirectory
from orchestrator.trackers.files import Files
from orchestrator.trackers.reporting import reporting
from shared.errors import EnvironmentNotReady

WANDB = """
import json, os

def tell(*row):
    with open(os.environ["TOLD"], "a") as file:
        file.write(json.dumps(row) + "\\n")

class Settings:
    def __init__(self, **settings):
        self.settings = settings

class Run:
    url = "https://wandb.example/run"
    offline = False
    def log(self, metrics, step):
        if "boom" in metrics:
            raise RuntimeError("no answer from https://me:pa55@wandb.example with key-5ecret")
        tell("log", step, metrics)
    def alert(self, title, text):
        tell("alert", title, text)
    def finish(self, exit_code):
        tell("finish", exit_code)

def init(**options):
    if os.environ.get("REFUSES") == "late":
        raise TimeoutError("the read operation timed out")
    if os.environ.get("REFUSES"):
        raise ValueError("No API key configured for key-5ecret")
    tell("init", {**options, "settings": options["settings"].settings})
    return Run()
"""
MLFLOW = """
import json, os
from types import SimpleNamespace as Bag

def tell(*row):
    with open(os.environ["TOLD"], "a") as file:
        file.write(json.dumps(row) + "\\n")

def get_tracking_uri():
    return os.environ.get("MLFLOW_TRACKING_URI", "http://me:pa55@mlflow.example")
"""
MLFLOW_EXCEPTIONS = """
class MlflowException(Exception):
    pass
"""
MLFLOW_ENTITIES = """
def Metric(key, value, timestamp, step):
    return [step, key, value]

def Param(key, value):
    return [key, value]
"""
MLFLOW_TRACKING = """
from mlflow import Bag, get_tracking_uri, tell
from mlflow.exceptions import MlflowException

class MlflowClient:
    def __init__(self):
        if not get_tracking_uri().startswith("http"):
            raise MlflowException("got unsupported URI")
    def get_experiment_by_name(self, name):
        return None
    def create_experiment(self, name):
        return "7"
    def create_run(self, experiment, run_name):
        tell("create", experiment, run_name)
        return Bag(info=Bag(run_id="id-1"))
    def update_run(self, run, status):
        tell("update", run, status)
    def log_batch(self, run, metrics=(), params=()):
        tell("batch", run, metrics, params)
    def set_tag(self, run, key, value):
        tell("tag", run, key, value)
    def set_terminated(self, run, status):
        tell("end", run, status)
"""
TRACKIO = """
import json, os

def tell(*row):
    with open(os.environ["TOLD"], "a") as file:
        file.write(json.dumps(row) + "\\n")

class Run:
    def log(self, metrics, step):
        tell("log", step, metrics)
    def alert(self, title, text):
        tell("alert", title, text)
    def finish(self):
        tell("finish")

def init(**options):
    print("words that belong to nobody's results")
    tell("init", options)
    return Run()
"""
MODULES = {
    "wandb/__init__.py": WANDB,
    "mlflow/__init__.py": MLFLOW,
    "mlflow/entities.py": MLFLOW_ENTITIES,
    "mlflow/exceptions.py": MLFLOW_EXCEPTIONS,
    "mlflow/tracking.py": MLFLOW_TRACKING,
    "trackio/__init__.py": TRACKIO,
}
STANDINS = {name.split("/")[0] for name in MODULES}
KEY = "key-5ecret"

Told = Callable[[], list[Any]]


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    return RunDirectory(tmp_path / "runs" / "mine")


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the stand-ins were told so far."""
    for name, text in MODULES.items():
        file = tmp_path / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for loaded in list(sys.modules):
        if loaded.startswith("orchestrator.trackers.services.") or loaded.split(".")[0] in STANDINS:
            monkeypatch.delitem(sys.modules, loaded)
    file = tmp_path / "told.jsonl"
    file.touch()
    monkeypatch.setenv("TOLD", str(file))
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    return lambda: [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def step(number: int, **metrics: float) -> StepReport:
    return StepReport(number, {"reward": number / 10, "failed/timeout": 1, "note": None, **metrics})


def attempt(directory: RunDirectory, service: str, *steps: int, **metrics: float) -> None:
    """An attempt of a run of which these steps are left to do."""
    config = RunConfig.model_validate({"report_to": [service], "name": "mine"})
    with reporting(config, directory, steps[0]) as reporters:
        for number in steps:
            for listener in (Files(directory, {}), *reporters):
                listener.stepped(step(number, **metrics), ())


def numbers(row: int) -> dict[str, float]:
    return {"reward": row / 10, "failed/timeout": 1.0}


def test_wandb_is_told_the_config_every_step_once_and_nothing_of_its_own(
    directory: RunDirectory, told: Told
) -> None:
    attempt(directory, "wandb", 1, 2)
    # The second attempt does step 2 again: its row was there, its commit was not.
    attempt(directory, "wandb", 2, 3)

    (begun, one, two, end), (again, three, last) = told()[:4], told()[4:]
    assert begun[0] == again[0] == "init"
    options = begun[1]
    assert options["id"] == again[1]["id"]
    assert (options["name"], options["resume"]) == ("mine", "allow")
    assert options["config"]["group_size"] == 8
    assert {"disable_code", "disable_git", "x_disable_meta"} <= set(options["settings"])
    assert options["settings"]["console"] == "off"
    assert [one, two, three] == [["log", n, numbers(n)] for n in (1, 2, 3)]
    assert end == last == ["finish", 0]


def test_mlflow_without_a_server_says_what_to_set(
    directory: RunDirectory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What mlflow-skinny alone cannot write: the whole of mlflow brings sqlalchemy along.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")

    with pytest.raises(EnvironmentNotReady, match="MLFLOW_TRACKING_URI=http://HOST:PORT"):
        attempt(directory, "mlflow", 1)


def test_mlflow_goes_on_with_the_run_id_that_it_gave(directory: RunDirectory, told: Told) -> None:
    attempt(directory, "mlflow", 1)
    attempt(directory, "mlflow", 2)

    rows = told()
    assert [row[0] for row in rows] == [
        *("create", "batch", "update", "batch", "end"),
        *("update", "batch", "end"),
    ]
    assert {row[1] for row in rows[1:]} == {"id-1"}
    assert ["group_size", "8"] in rows[1][3]
    assert rows[3][2] == [[1, "reward", 0.1], [1, "failed/timeout", 1.0]]
    assert rows[6][2] == [[2, "reward", 0.2], [2, "failed/timeout", 1.0]]
    assert rows[-1] == ["end", "id-1", "FINISHED"]


def test_trackio_prints_nothing_where_results_belong(
    directory: RunDirectory, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    config = RunConfig.model_validate({"report_to": ["trackio"]})
    with reporting(config, directory, 1) as (reporter,):
        reporter.stepped(step(1), ())
        reporter.alarmed(Alarm(1, "length", "completions grow"))

    assert [row[0] for row in told()] == ["init", "log", "alert", "finish"]
    assert told()[2] == ["alert", "step 1: length", "completions grow"]
    assert told()[0][1]["resume"] == "allow"
    assert capsys.readouterr().out == ""


def test_a_service_that_fails_later_is_told_of_once_and_dropped_and_a_resume_sends_the_rest(
    directory: RunDirectory, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt(directory, "wandb", 1, 2, 3, boom=1.0)

    said = capsys.readouterr().err
    assert said.count("warning: wandb failed (RuntimeError: no answer from") == 1
    assert KEY not in said
    assert "pa55" not in said
    assert [row[0] for row in told()] == ["init"]


def test_what_a_dropped_service_has_missed_is_sent_by_the_next_attempt(
    directory: RunDirectory, told: Told
) -> None:
    attempt(directory, "wandb", 1)
    Files(directory, {}).stepped(step(2), ())
    attempt(directory, "wandb", 3)

    assert [row[1] for row in told() if row[0] == "log"] == [1, 2, 3]


def test_a_service_that_cannot_begin_stops_the_run_with_a_sentence(
    directory: RunDirectory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSES", "yes")

    with pytest.raises(EnvironmentNotReady, match="wandb cannot be reported to") as refused:
        attempt(directory, "wandb", 1)

    assert "No API key configured" in str(refused.value)
    assert KEY not in str(refused.value)
    assert not (directory.path / "metrics.jsonl").exists()


def test_a_service_whose_own_wait_was_too_long_is_told_of_in_its_words(
    directory: RunDirectory, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSES", "late")

    with pytest.raises(EnvironmentNotReady, match="the read operation timed out"):
        attempt(directory, "wandb", 1)


def test_the_login_in_the_address_of_a_service_is_not_shown(
    directory: RunDirectory, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt(directory, "mlflow", 1)

    assert "http://***@mlflow.example run id-1" in capsys.readouterr().err


def test_what_is_not_installed_is_said_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(extras.SERVICES, "mlflow", Package("no_such_package", "mlflow-skinny"))

    with pytest.raises(EnvironmentNotReady, match="pip install mlflow-skinny"):
        require_services(["mlflow"])


def test_no_secret_is_in_what_the_services_are_told(directory: RunDirectory, told: Told) -> None:
    for service in STANDINS:
        attempt(directory, service, 1)

    assert len(told()) > 9
    assert KEY not in json.dumps(told())
