"""Workers as processes, and groups for them to work on."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis

from orchestrator.broker import Broker
from orchestrator.dispatch import Dispatcher
from orchestrator.embedded import connect
from orchestrator.ledger import GroupJob
from shared.fleet import live_workers
from shared.messages import ChatMessage, GenerateJob, RewardTerm, Sampling, ScoreJob, SlotPrompt
from shared.queue import celery_app
from tests.processes import put_down, wait_until
from tests.running import ROOT, clean_environment

LENGTH = (RewardTerm(name="length", weight=1.0),)


class Worker(NamedTuple):
    """A worker process that beats."""

    process: "subprocess.Popen[str]"
    name: str
    log: Path


@contextmanager
def worker_process(
    url: str,
    folder: Path,
    name: str,
    *options: str,
    environment: Mapping[str, str] | None = None,
    source: Path = ROOT,
    prefix: Sequence[str] = (),
    seen_from: str = "",
) -> Iterator[Worker]:
    """``python -m worker`` on the server at ``url``, from its first heartbeat on.

    ``prefix`` starts it elsewhere, and ``seen_from`` is then the server's address here.
    """
    log = folder / f"{name}.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "worker", "--name", name, "--groups", "8", *options],
            cwd=source,
            env=clean_environment(folder, {"REDIS_URL": url, **(environment or {})}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
        )
    try:
        with connect(seen_from or url) as redis:
            wait_until(lambda: beats(redis, name) or process.poll() is not None, f"{name} up")
        assert process.poll() is None, log.read_text(encoding="utf-8")
        yield Worker(process, name, log)
    finally:
        put_down(process)


def beats(redis: Redis, name: str) -> bool:
    """Whether the worker of that name has a fresh heartbeat."""
    return any(card.name == name for card in live_workers(redis))


@contextmanager
def dispatching(url: str, run: str, worker_grace_s: float = 30) -> Iterator[Dispatcher]:
    """A dispatcher with connections of its own, as an orchestrator has."""
    app = celery_app(url)
    try:
        with connect(url) as redis:
            yield Dispatcher(redis, Broker(app, run), run, worker_grace_s)
    finally:
        app.close()


def group_job(
    run: str,
    group: str = "e001",
    slots: int = 4,
    latency_s: float = 0.0,
    rewards: Sequence[RewardTerm] | None = LENGTH,
    step: int = 1,
    **extra: Any,
) -> GroupJob:
    """A group of ``slots``; ``rewards`` = None asks for completions only."""
    prompts = tuple(
        SlotPrompt(
            slot=slot,
            messages=(ChatMessage(role="user", content=f"Private question of {group}"),),
            draft=draft(group, slot),
            seed=slot,
        )
        for slot in range(slots)
    )
    score = None
    if rewards is not None:
        score = ScoreJob(
            run=run,
            step=step,
            group=group,
            prompt=f"Private question of {group}",
            reference="Private reference",
            terms=("qubits",),
            extra=extra,
            rewards=tuple(rewards),
        )
    generate = GenerateJob(
        run=run, step=step, group=group, prompts=prompts, sampling=Sampling(latency_s=latency_s)
    )
    return GroupJob(generate, score, f"s{step:03d} {group} x{slots}: Short")


def draft(group: str, slot: int) -> str:
    """What the template engine answers in a slot of ``group_job``."""
    return f"Answer {slot} of {group}. " + "It says a little more. " * (slot + 1)


def keys_of(redis: Redis, run: str) -> set[str]:
    """Every key that Redis holds of a run."""
    return set(redis.scan_iter(match="cgrpo:{" + run + "}*", count=1000))
