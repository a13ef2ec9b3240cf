"""The only Celery tasks: ``generate`` and ``score``, a group at a time.

A task carries ids and returns nothing; the job and the results lie in Redis. This is the one place
where an exception becomes a Failure.
"""

import logging
import os
import socket
import time
from contextlib import ExitStack
from typing import Any

from celery import Celery, Task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from celery.worker.control import control_command
from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError, ResponseError

from shared.errors import EnvironmentNotReady
from shared.keys import LEASE_TTL_S
from shared.messages import RewardTerm
from shared.patience import passes, refused_for_good
from shared.queue import GENERATE, QUEUES, SCORE, celery_app
from shared.redis_address import REDIS_URL, refusal
from shared.settings import (
    WORKER_METRICS_PORT,
    metrics_port,
    openrouter_api_key,
    redis_url,
)
from shared.tracing import FLUSH_MS, missing_exporter, tracer_provider, tracing_wanted
from worker.consumer import tell_progress, use_patient_transport
from worker.generation import generate_group
from worker.governor import Stopped, Withdrawn
from worker.loop import WorkerLoop
from worker.rewards.table import check
from worker.scoring import score_group
from worker.slots import GroupTask

log = logging.getLogger(__name__)
_terms = TypeAdapter(list[RewardTerm])


def build_app(
    name: str, groups: int, queues: tuple[str, ...] = QUEUES, lease_s: float = LEASE_TTL_S
) -> Celery:
    """The worker's Celery app with its tasks, and the loop that starts, drains and stops with it.

    Raises EnvironmentNotReady if REDIS_URL is not set, UsageError for a malformed key or address.
    """
    url = redis_url()
    if url is None:
        raise EnvironmentNotReady(f"{REDIS_URL} is not set; a worker needs redis://HOST:PORT/DB")
    openrouter_api_key()  # A malformed key ends the worker here, and not in its calls.
    app = celery_app(url, max_connections=groups + 20)
    app.conf.worker_consumer = "worker.consumer:CalmConsumer"
    # An answer that passes is for the consumer to judge.
    app.conf.broker_channel_error_retry = True
    use_patient_transport()
    loop = WorkerLoop(url, name, groups, queues, lease_s)

    loop.progress.tell = tell_progress

    def shown(task: GroupTask, request: Any) -> None:
        began = time.monotonic()
        loop.progress.began(task, request.id, request.argsrepr or "")
        try:
            run_group(loop, task)
        finally:
            loop.progress.ended(task)
            for watch in loop.watches:
                watch.worked(task, time.monotonic() - began)

    @app.task(name=GENERATE, bind=True)
    def generate(self: "Task[Any, None]", run: str, step: int, group: str, attempt: int) -> None:
        shown(GroupTask(run, step, group, "generate", attempt), self.request)

    @app.task(name=SCORE, bind=True)
    def score(self: "Task[Any, None]", run: str, step: int, group: str, attempt: int) -> None:
        shown(GroupTask(run, step, group, "score", attempt), self.request)

    port = metrics_port(WORKER_METRICS_PORT)
    if port is not None:
        _serve_metrics(loop, port)
    if tracing_wanted():
        _send_spans(loop)
    elif missing := missing_exporter():
        log.warning("%s", missing)
    worker_ready.connect(lambda **_: loop.start(), weak=False)
    worker_shutting_down.connect(lambda **_: loop.drain(), weak=False)
    worker_shutdown.connect(lambda **_: loop.stop(), weak=False)
    return app


def _serve_metrics(loop: WorkerLoop, port: int) -> None:
    # Prometheus' client takes a while to import: only who asks for it waits.
    from worker.metrics import watched

    stack = ExitStack()
    log.info("metrics on %s", stack.enter_context(watched(loop, port)))
    worker_shutdown.connect(lambda **_: stack.close(), weak=False)


def _send_spans(loop: WorkerLoop) -> None:
    from worker.traced_calls import TracedCalls

    provider = tracer_provider("concept-grpo-worker")
    loop.watches.append(TracedCalls(provider))
    worker_shutdown.connect(lambda **_: provider.force_flush(FLUSH_MS), weak=False)


def run_group(loop: WorkerLoop, task: GroupTask) -> None:
    """Take the group, do what is missing, commit it, give the group back.

    What is left undone is done elsewhere or later: the orchestrator submits the group again.
    """
    try:
        loop.wait(_do(loop, task))
    except Stopped as stop:
        log.info("%s: left, since the run stops: %s", task, stop)
    except Withdrawn as reason:
        log.warning("%s: what was not asked yet is left to others: %s", task, reason)
    except RedisError as error:
        log.error("%s: left, since Redis failed: %s", task, refusal(error))
        if isinstance(error, ResponseError) and not passes(error):
            # Again, here or elsewhere, would end the same way, as often as it is submitted.
            loop.wait(loop.stop_run(task.run, refused_for_good(error)))
    except ValidationError as error:
        # The texts in the job are not for the log.
        log.error(
            "%s is of another version; the group waits for a worker of that version: %s",
            task,
            error.errors(include_input=False, include_url=False),
        )


async def _do(loop: WorkerLoop, task: GroupTask) -> None:
    held = await loop.slots.begin(task)
    if held is None:
        return
    try:
        if task.role == "generate":
            await generate_group(loop.slots, loop.providers, held)
        else:
            await score_group(loop.slots, loop.caller, held)
    finally:
        await loop.slots.release(held)


@control_command(args=[("terms", str), ("columns", str)], signature="[terms] [columns]")
def check_rewards(
    state: Any,
    terms: list[Any],
    columns: list[str],
    sample: dict[str, Any] | None = None,
    self_report: bool = True,
) -> dict[str, Any]:
    """What is wrong with these reward terms on this worker, in words."""
    found = check(_terms.validate_python(terms), frozenset(columns), sample, self_report)
    return {"problems": list(found)}


def default_name() -> str:
    """A name that no other worker has: host and process."""
    return f"{socket.gethostname()}-{os.getpid()}"
