"""The engine of a run: Redis server and workers, embedded or given, behind one dispatcher."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import to_jsonable_python
from redis import Redis

from orchestrator.broker import Broker
from orchestrator.config import RunConfig
from orchestrator.dispatch import Dispatcher
from orchestrator.embedded import Embedded, check_server, connect
from orchestrator.interrupts import Interrupts
from orchestrator.rollouts import Example
from shared.errors import EnvironmentNotReady, UsageError
from shared.fleet import live_workers
from shared.keys import HEARTBEAT_S
from shared.messages import RewardTerm, WorkerCard
from shared.patience import patient
from shared.queue import celery_app
from shared.redis_address import redacted


class Engine(NamedTuple):
    """A running engine."""

    broker: Broker
    dispatcher: Dispatcher
    url: str
    #: In words, for the header.
    description: str
    workers: int
    #: The embedded cluster; None on a given server.
    embedded: Embedded | None


@contextmanager
def engine(
    config: RunConfig,
    run: str,
    url: str | None,
    state: Path,
    logs: Path,
    interrupts: Interrupts | None = None,
) -> Iterator[Engine]:
    """Start or join an engine, and leave it or stop it at the end.

    ``url`` = None starts the embedded cluster with its state in ``state``. Raises
    EnvironmentNotReady if the given server, or its workers, do not answer; a server that was given
    is never replaced by the embedded one.
    """
    if url is not None:
        server = check_server(url)
        cards = workers_of(url)
        description = f"Redis {server} at {redacted(url)} + {_in_words(cards)}"
        with _joined(config, run, url, interrupts) as (broker, dispatcher):
            yield Engine(broker, dispatcher, url, description, len(cards), None)
        return
    crew = (config.workers, config.worker_groups, config.worker_lease_s, config.code_folder())
    with Embedded(state, logs, *crew) as cluster:
        plural = "worker" if config.workers == 1 else "workers"
        description = (
            f"embedded Valkey {cluster.version} + {config.workers} {plural}"
            f" ({config.worker_groups} groups at a time)"
        )
        with _joined(config, run, cluster.url, interrupts) as (broker, dispatcher):
            cluster.await_workers()
            yield Engine(broker, dispatcher, cluster.url, description, config.workers, cluster)


def check_rewards(
    engine: Engine,
    terms: tuple[RewardTerm, ...],
    columns: tuple[str, ...],
    example: Example | None = None,
    self_report: bool = True,
) -> None:
    """Have every worker load the reward functions and try them on made-up completions, for
    ``example``, with a quality if ``self_report``. Raises UsageError with what is wrong."""
    sample = None if example is None else _sample(example)
    problems = engine.broker.check_rewards(
        [term.model_dump(mode="json") for term in terms],
        list(columns),
        engine.workers,
        sample,
        self_report,
    )
    if problems:
        raise UsageError("\n".join(problems))


def _sample(example: Example) -> dict[str, Any]:
    fields = {**example.extra, "prompt": example.text, "reference": example.reference}
    found: dict[str, Any] = to_jsonable_python(fields, fallback=str)
    return found


def workers_of(url: str) -> list[WorkerCard]:
    """The live workers of a server; one that was just wiped has heard of none for a heartbeat.

    Raises EnvironmentNotReady if there is none.
    """
    end = time.monotonic() + HEARTBEAT_S + 0.5
    with connect(url) as client:
        while not (cards := live_workers(client)) and time.monotonic() < end:
            time.sleep(0.1)
    if not cards:
        raise EnvironmentNotReady(
            f"no worker listens at {redacted(url)}; start one there with: orchestrator worker"
        )
    return cards


def _in_words(cards: Sequence[WorkerCard]) -> str:
    ours = version("concept-grpo")
    words = "1 worker" if len(cards) == 1 else f"{len(cards)} workers"
    if others := sorted({card.version for card in cards} - {ours}):
        words += f", some of version {', '.join(others)} and not {ours}: see orchestrator doctor"
    return words


@contextmanager
def _joined(
    config: RunConfig, run: str, url: str, interrupts: Interrupts | None
) -> Iterator[tuple[Broker, Dispatcher]]:
    redis = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=10,
        socket_connect_timeout=5,
        retry=patient(),
    )
    app = celery_app(url)
    try:
        broker = Broker(app, run)
        yield broker, Dispatcher(redis, broker, run, config.worker_grace_s, interrupts)
    finally:
        app.close()
        redis.close()
