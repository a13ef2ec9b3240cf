"""``report_to``: services outside, each told on a thread of its own: none holds the run up.

A service that cannot begin stops the run before anything is paid for; one that fails later is told
of once and dropped. The truth is ``metrics.jsonl``: a resumed run sends what is there and was not
sent, so that nothing is missing and no step is there twice.
"""

import importlib
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from orchestrator.alarms import Alarm
from orchestrator.callbacks import Ending
from orchestrator.config import RunConfig
from orchestrator.evaluation import Evaluation
from orchestrator.interrupts import Interrupted
from orchestrator.ledger import Progress
from orchestrator.rollouts import Group, StepReport
from orchestrator.run_directory import RunDirectory
from orchestrator.trackers.rows import evaluation_row, numbers, step_row
from orchestrator.trackers.sent import Sent
from orchestrator.trackers.services import About, Service
from shared.errors import EnvironmentNotReady, RunStopped

#: Seconds that a service has to begin, and to send what is left at the end.
BEGIN_S, END_S = 90.0, 30.0
#: Characters of a service's own words that are shown.
LONGEST_WORDS = 300
#: Variables whose values are no one's business.
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|AUTH|REDIS_URL", re.IGNORECASE)
#: User and password in an address.
LOGIN = re.compile(r"//[^/@\s]+@")
#: What a service may raise: SystemExit too.
RAISED = (Exception, SystemExit)


class Reporter:
    """One service of ``report_to``, from the run's side."""

    def __init__(self, name: str, directory: RunDirectory) -> None:
        self.name = name
        self.place = ""
        self._directory = directory
        self._sent = Sent(directory, name)
        self._begun: Future[Service] = Future()
        self._work: queue.SimpleQueue[Callable[[Service], None] | None] = queue.SimpleQueue()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name=f"report to {name}", daemon=True)
        self._about: About

    def begin(self, config: RunConfig, first_step: int) -> None:
        """Open the service's run, or the same one again. Raises EnvironmentNotReady."""
        self._about = About(
            self._directory.name,
            self._directory.path,
            config.model_dump(mode="json"),
            first_step,
            self._sent.id,
        )
        self._thread.start()
        try:
            service = self._begun.result(BEGIN_S)
        except EnvironmentNotReady:
            raise
        except RAISED as error:
            if self._begun.done():
                raise EnvironmentNotReady(
                    f"{self.name} cannot be reported to ({in_words(error)}); mend that, or leave it"
                    " out of report_to"
                ) from None
            raise EnvironmentNotReady(
                f"{self.name} did not begin within {BEGIN_S:.0f} s; see that it can be reached, or"
                " leave it out of report_to"
            ) from None
        self.place = LOGIN.sub("//***@", service.place)
        self._sent.begin(service.id, first_step if service.rewound else None)
        for row in list(self._directory.lines("metrics.jsonl")):
            self._send(row)

    def progress(self, step: int, purpose: str, progress: Progress) -> None:
        """Nothing: services hear of what has ended."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """Its numbers, at its step."""
        self._send(evaluation_row(evaluation))

    def stepped(self, report: StepReport, groups: tuple[Group, ...]) -> None:
        """Its numbers."""
        self._send(step_row(report))

    def alarmed(self, alarm: Alarm) -> None:
        """Its kind and sentence."""
        self._send({"step": alarm.step, "alarm": alarm.kind, "words": alarm.words})

    def end(self, ending: Ending) -> None:
        """Send the rest, and close the service's run."""
        self._work.put(lambda service: service.close(ending))
        self._work.put(None)
        self._thread.join(END_S)
        if self._thread.is_alive():
            self._give_up(f"did not take the rest within {END_S:.0f} s")

    def _send(self, row: Mapping[str, Any]) -> None:
        if self._failed or self._sent.has(row):
            return

        def send(service: Service) -> None:
            if "alarm" in row:
                service.alarm(row["step"], row["alarm"], row["words"])
            else:
                service.log(row["step"], numbers(row))
            self._sent.note(row)

        self._work.put(send)

    def _run(self) -> None:
        try:
            module = importlib.import_module(f"orchestrator.trackers.services.{self.name}")
            service: Service = module.open_run(self._about)
        except RAISED as error:
            self._begun.set_exception(error)
            return
        self._begun.set_result(service)
        while (work := self._work.get()) is not None:
            if self._failed:
                continue
            try:
                work(service)
            except RAISED as error:
                self._give_up(f"failed ({in_words(error)})")

    def _give_up(self, what: str) -> None:
        if not self._failed:
            self._failed = True
            print(
                f"warning: {self.name} {what}; it hears no more of this run, which goes on"
                " (all numbers are in metrics.jsonl, and a resumed run sends what is missing)",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def reporting(
    config: RunConfig, directory: RunDirectory, first_step: int
) -> Iterator[list[Reporter]]:
    """The services of ``report_to``, told how the run ended when it leaves."""
    reporters: list[Reporter] = []
    ending: Ending = "failed"
    try:
        for name in dict.fromkeys(config.report_to):
            reporter = Reporter(name, directory)
            reporter.begin(config, first_step)
            reporters.append(reporter)
            print(f"  report   {name}: {reporter.place}", file=sys.stderr, flush=True)
        yield reporters
        ending = "finished"
    except (Interrupted, RunStopped):
        ending = "interrupted"
        raise
    finally:
        for reporter in reporters:
            reporter.end(ending)


def in_words(error: BaseException) -> str:
    """The class and the text of what a service raised, in one line and without secrets."""
    text = " ".join(str(error).split())
    text = LOGIN.sub("//***@", text)
    for name, value in os.environ.items():
        if len(value) > 3 and SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return f"{type(error).__name__}: {text[:LONGEST_WORDS]}" if text else type(error).__name__
