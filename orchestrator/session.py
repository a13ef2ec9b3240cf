"""One ``orchestrator run``, put together: inputs, run directory, engine, store, trackers, loop."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from orchestrator import run
from orchestrator.approvals import approve, refuse_unapproved
from orchestrator.budget import Spending, book_questions, estimate, restore_ledger, spending
from orchestrator.callbacks import Control, new_callback
from orchestrator.embedded import connect
from orchestrator.engine import Engine, check_rewards, engine
from orchestrator.environment import environment
from orchestrator.inputs import Inputs, prepare
from orchestrator.interrupts import Interrupted, Interrupts
from orchestrator.policy_file import policy_document
from orchestrator.preflight import Models, preflight
from orchestrator.report.explain import instrument, instrument_metrics
from orchestrator.report.summary import summary
from orchestrator.run_directory import ENGINE_STATE, RunDirectory
from orchestrator.run_plan import initial_weights
from orchestrator.run_state import attended
from orchestrator.store import Store, decode_weights
from orchestrator.stored_run import refuse_unfit, stored_config
from orchestrator.trackers import Tracker
from orchestrator.trackers.called import Called, calling
from orchestrator.trackers.files import Files
from orchestrator.trackers.reporting import reporting
from shared.errors import EnvironmentNotReady, RunFailed, UsageError
from shared.settings import ORCHESTRATOR_METRICS_PORT, metrics_port
from shared.tracing import missing_exporter, tracer_provider, tracing_wanted


class Session(NamedTuple):
    """A run that is about to start or to go on."""

    inputs: Inputs
    models: Models
    directory: RunDirectory
    resumed: bool


def begin(inputs: Inputs, models: Models) -> Session:
    """Make the run directory."""
    model = inputs.config.model.rpartition("/")[2] or "template"
    directory = RunDirectory.create(inputs, model)
    directory.write_json("environment.json", environment())
    approve(directory.path, inputs.config)
    return Session(inputs, models, directory, resumed=False)


def resume(runs_dir: Path, ref: str, max_cost_usd: float | None = None) -> Session:
    """Take up an interrupted run with its own config and its own copies of the inputs.

    ``max_cost_usd`` replaces the run's cap. Raises UsageError if its functions are not approved.
    """
    directory = RunDirectory.find(runs_dir, ref)
    config = stored_config(directory)
    refuse_unapproved(directory.path, config)
    config = config.model_copy(update={"max_cost_usd": max_cost_usd or config.max_cost_usd})
    return Session(prepare(config), preflight(config, ask=True), directory, resumed=True)


def play(
    session: Session,
    url: str | None,
    interrupts: Interrupts,
    trackers: Callable[[int], Sequence[Tracker]],
    started: Callable[[Engine, int], None],
    stopped: Callable[[Spending], None] = lambda spent: None,
) -> Mapping[str, Any]:
    """Train to the end and return the summary, which is also kept in ``run.json``.

    ``started`` is told the engine and the first step before the first rollout, ``trackers`` makes
    who listens beside the files, and ``stopped`` is told the bill of a run that does not end.
    """
    inputs, models, directory, _ = session
    began = time.monotonic()
    state = engine_state(directory.path)
    with (
        _nothing_left_of_a_bad_start(session, state) as begun,
        attended(directory.path, inputs.steps),
    ):
        logs = directory.attempt_logs()
        with engine(inputs.config, directory.name, url, state, logs, interrupts) as machine:
            self_report = inputs.config.asks_self_report() or not inputs.config.model
            terms, example = inputs.terms("eval"), inputs.train[0]
            check_rewards(machine, terms, inputs.columns, example, self_report)
            with (
                connect(machine.url) as brisk,
                Store(
                    machine.dispatcher.redis,
                    directory.name,
                    alone=machine.embedded is not None,
                    brisk=brisk,
                ) as store,
            ):
                first = _restore(store, session)
                book_questions(store.redis, directory.name, models.came)
                store.describe(policy_document(inputs, store.weights()))
                machine.dispatcher.clear_stop()
                started(machine, first)
                with _listening(session, machine, first, trackers) as (listeners, control):
                    begun.set()
                    if not session.resumed:
                        directory.become_latest()
                    dispatcher = machine.dispatcher
                    outcome = _trained(
                        run.Run(inputs, models, store, dispatcher, directory, listeners, control),
                        stopped,
                    )
            spent = spending(machine.dispatcher.redis, directory.name)
            found = summary(inputs, outcome, spent, time.monotonic() - began)
            _save(directory, found)
        found["instrument"] = _explained(directory, inputs, interrupts)
        directory.append_lines(
            "metrics.jsonl", [{"step": outcome.steps, **instrument_metrics(found["instrument"])}]
        )
        _save(directory, found)
    forget_engine(state)
    return found


def _save(directory: RunDirectory, found: Mapping[str, Any]) -> None:
    directory.write_json("run.json", {"orchestrator": version("concept-grpo"), **found})


def _explained(
    directory: RunDirectory, inputs: Inputs, interrupts: Interrupts
) -> dict[str, Any] | None:
    """How far the reward can be trusted; None, and a line that says so, if that fails.

    The result is saved: whatever goes wrong here costs neither the run nor its exit code.
    """
    why = "interrupted"
    with contextlib.suppress(Interrupted), interrupts.at_once():
        try:
            return instrument(directory, inputs)
        except Exception as error:
            why = str(error) or type(error).__name__
    again = f"try: orchestrator explain {directory.name}"
    print(
        f"warning: the run is saved, but its reward could not be examined: {why}; {again}",
        file=sys.stderr,
        flush=True,
    )
    return None


def _trained(doing: run.Run, stopped: Callable[[Spending], None]) -> run.Outcome:
    try:
        return run.train(doing)
    except (Interrupted, RunFailed):
        with contextlib.suppress(RedisError, RunFailed):
            stopped(spending(doing.dispatcher.redis, doing.directory.name))
        raise


@contextmanager
def _listening(
    session: Session,
    machine: Engine,
    first: int,
    trackers: Callable[[int], Sequence[Tracker]],
) -> Iterator[tuple[list[Tracker], Control]]:
    """Everybody who is told: the files first, so that the others can rely on them."""
    inputs, models, directory, _ = session
    callbacks = [
        new_callback(name, inputs.config.code_folder()) for name in inputs.config.callbacks
    ]
    called = Called(callbacks, directory, inputs.steps, first - 1)
    files = Files(directory, inputs.domains)
    told: list[Tracker] = [files]
    with ExitStack() as stack:
        port = metrics_port(ORCHESTRATOR_METRICS_PORT)
        if port is not None:
            # Prometheus' client takes a while to import: only who asks for it waits.
            from orchestrator.trackers.prometheus import exporting

            exporter, address = stack.enter_context(
                exporting(inputs, models, directory, machine, port)
            )
            print(f"  metrics  {address}", file=sys.stderr, flush=True)
            told.append(exporter)
        if tracing_wanted():
            from orchestrator.trackers.tracing import traced

            provider = tracer_provider("concept-grpo-orchestrator")
            told.append(stack.enter_context(traced(provider, directory.name)))
        elif missing := missing_exporter():
            print(f"  warning  {missing}", file=sys.stderr, flush=True)
        told += stack.enter_context(reporting(inputs.config, directory, first))
        stack.enter_context(calling(called))
        yield [*told, called, *trackers(first)], called.control


def engine_state(run: Path) -> Path:
    """Where the embedded server of a run directory keeps its state."""
    return run.parent / ENGINE_STATE / run.name


def forget_engine(state: Path) -> None:
    """Remove a server's state folder, and the folder of such folders after the last."""
    shutil.rmtree(state, ignore_errors=True)
    with contextlib.suppress(OSError):
        state.parent.rmdir()


def _restore(store: Store, session: Session) -> int:
    """The first step to do, by whoever knows more: Redis or the newest checkpoint.

    Rows of steps that are not committed are removed: those steps are done again. Raises RunFailed
    if Redis holds garbage and no checkpoint can take its place.
    """
    step, state = session.directory.newest_checkpoint() or (0, None)
    if state is not None:
        where = f"{session.directory.path}/checkpoints/{step:06d}.json"
        refuse_unfit(decode_weights(state["weights"]), session.inputs, where)
        if (damaged := session.directory.steps_saved()) > step:
            print(
                f"  warning  checkpoint {damaged} is damaged; passed over for that of step {step}",
                file=sys.stderr,
                flush=True,
            )
        # What the broken step had spent is not known any more: the cap holds if it is its most.
        doubtful_usd = estimate(session.inputs, session.models).step_ceiling_usd or 0.0
        restore_ledger(store.redis, session.directory.name, state["ledger"], doubtful_usd)
    try:
        head = store.head()
        if head is not None:
            store.weights()
    except RunFailed:
        if state is None:
            raise
        store.forget()
        head = None
    if head is None and state is None:
        if saved := session.directory.steps_saved():
            raise RunFailed(
                f"{session.directory.path}/checkpoints: none is whole, although {saved} steps were"
                " done and paid for; put one back from a backup, or start a new run"
            )
        store.begin(initial_weights(session.inputs), 1)
    elif state is not None and (head is None or head.next_step <= step):
        store.restore(decode_weights(state["weights"]), step + 1)
    first = store.next_step()
    session.directory.trim(first)
    return first


@contextmanager
def _nothing_left_of_a_bad_start(session: Session, state: Path) -> Iterator[Event]:
    """Remove the directory of a run that could not start, for its settings or its engine.

    Once the caller sets what it is given, answers may be paid for, and everything is kept.
    """
    begun = Event()
    try:
        yield begun
    except (UsageError, EnvironmentNotReady):
        if not session.resumed and not begun.is_set():
            forget_engine(state)
            session.directory.discard()
        raise
