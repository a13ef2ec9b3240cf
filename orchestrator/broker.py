"""Celery, as the orchestrator uses it: publish tasks by name, and ask the workers a question."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from orchestrator.ledger import OpenGroup
from shared.errors import EnvironmentNotReady
from shared.patience import passes
from shared.redis_address import refusal

Result = TypeVar("Result")

#: Tasks per round trip to the broker.
PUBLISH_BATCH = 1000
#: Seconds that publishing tries again while the broker is away.
PATIENCE_S = 60.0
#: Seconds that the workers have to load the reward functions.
CHECK_TIMEOUT_S = 10.0
#: A question may get lost when the server or the workers start again just then.
CHECKS = 4


class BrokerAway(EnvironmentNotReady):
    """The broker did not take tasks for the whole of ``PATIENCE_S``."""


class Broker:
    """Publishes the tasks of one run."""

    def __init__(self, app: Celery, run: str) -> None:
        self._app = app
        self._run = run

    def submit(self, groups: Sequence[OpenGroup]) -> None:
        """Publish the groups' tasks; whatever became of a failed try, again is harmless.

        Raises BrokerAway in the end.
        """
        if groups:
            _patiently(lambda: self._publish(groups))

    def check_rewards(
        self,
        terms: list[dict[str, Any]],
        columns: list[str],
        workers: int,
        sample: dict[str, Any] | None = None,
        self_report: bool = True,
    ) -> list[str]:
        """What is wrong with the reward terms, in words, on any of the workers, which try them on
        made-up completions for the prompt, reference and columns of ``sample``. ``self_report``:
        whether completions have a quality.

        Raises EnvironmentNotReady if none of them answers.
        """
        answers = None
        asked = {"terms": terms, "columns": columns, "sample": sample, "self_report": self_report}
        for _ in range(CHECKS):
            answers = answers or _patiently(
                lambda: self._app.control.broadcast(
                    "check_rewards",
                    arguments=asked,
                    reply=True,
                    timeout=CHECK_TIMEOUT_S,
                    limit=workers,
                )
            )
        if not answers:
            raise EnvironmentNotReady("no worker answered when asked to load the reward functions")
        problems: dict[str, None] = {}
        for answer in answers:
            for reply in answer.values():
                found = reply.get("problems") or ([str(reply["error"])] if "error" in reply else [])
                problems.update(dict.fromkeys(found))
        return list(problems)

    def _publish(self, groups: Sequence[OpenGroup]) -> None:
        with (
            self._app.producer_pool.acquire(block=True) as producer,
            producer.batch(PUBLISH_BATCH),  # type: ignore[attr-defined]  # stubs are of kombu 5.6
        ):
            for group in groups:
                job = group.job.generate
                task = f"{self._run}/s{job.step:03d}/{job.group}/{group.role}/{group.attempt}"
                self._app.send_task(
                    group.role,
                    args=(self._run, job.step, job.group, group.attempt),
                    argsrepr=group.job.label,
                    kwargsrepr="",
                    task_id=task,
                    producer=producer,
                    # A list in Redis needs no declaring, which costs as much as the sending.
                    declare=(),
                )


def _patiently(work: Callable[[], Result]) -> Result:
    """Try again while the broker is away.

    Raises BrokerAway in the end, EnvironmentNotReady at once for a refusal that does not pass.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except (KombuError, RedisError, OSError) as error:
            if isinstance(cause := error.__cause__ or error, RedisError) and not passes(cause):
                raise EnvironmentNotReady(f"Redis refuses tasks: {refusal(cause)}") from None
            if time.monotonic() > end:
                raise BrokerAway(f"{type(error).__name__}: {error}") from None
            time.sleep(0.5)
