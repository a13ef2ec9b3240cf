"""Celery's consumer and its connection to the broker, made patient.

A server that fails over refuses the commands that wait on it; Celery takes such an answer for the
end of the world, and so it does an entry of a queue that is no task. Here the first is waited for,
the second is put aside, and what does not pass ends the worker with an error. Flower is told of
tasks in batches, some times a second.
"""

import logging
import time
from typing import Annotated, Any, Literal

from celery.exceptions import WorkerShutdown
from celery.worker.consumer import Consumer
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from redis.exceptions import ConnectionError, RedisError, ResponseError

from shared.keys import UNREADABLE
from shared.patience import passes
from shared.redis_address import refusal

#: Seconds between two messages about tasks; a message carries all events since the last one.
EVENTS_S = 0.5
#: Events that one message carries at most.
MOST_EVENTS = 1000
#: Seconds before the next try after the server refused for a while.
AGAIN_S = 0.25
#: Entries that are kept of those put aside, and for how long.
MOST_UNREADABLE, UNREADABLE_TTL_S = 100, 7 * 24 * 3600
#: Exit code of a worker that an error ended.
FAILED = 1

log = logging.getLogger(__name__)

#: The consumer of this process, once Celery has made it.
consumers: "list[CalmConsumer]" = []


class _Headers(BaseModel):
    """What Celery reads of a task's headers without looking twice."""

    id: str
    task: Literal["generate", "score"]


class _Properties(BaseModel):
    body_encoding: Literal["base64"]
    delivery_tag: str
    delivery_info: dict[str, Any]


class _Entry(BaseModel):
    """An entry of a queue that is a task of ours; what else Celery puts beside does no harm."""

    model_config = ConfigDict(hide_input_in_errors=True)

    body: Base64Bytes
    content_type: Annotated[Literal["application/json"], Field(alias="content-type")]
    content_encoding: Annotated[Literal["utf-8"], Field(alias="content-encoding")]
    headers: _Headers
    properties: _Properties


#: Run, step, group and attempt; then what Celery puts beside.
_body = TypeAdapter(
    tuple[tuple[str, int, str, int], dict[str, Any], Any],
    config=ConfigDict(hide_input_in_errors=True),
)


def why_unreadable(item: bytes | str) -> str | None:
    """Why an entry of a queue is not a task of ours, without a word of it; None if it is one."""
    try:
        _body.validate_json(_Entry.model_validate_json(item, strict=True).body, strict=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
    return None


# Kombu's stubs know nothing of the methods that a channel calls of itself.
_Channel: Any = kombu_redis.Channel


class PatientChannel(_Channel):  # type: ignore[misc]
    """Reads the queues. What passes is a lost connection, which Celery makes again."""

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)
        read = client.response_callbacks.get("BRPOP", lambda response, **_: response)

        def readable(response: Any, **options: Any) -> Any:
            found = read(response, **options)
            return None if found and self._put_aside(*found) else found

        client.set_response_callback("BRPOP", readable)
        return client

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except ResponseError as error:
            raise self._lost(error) from error

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)
        except ResponseError as error:
            raise self._lost(error) from error

    def _lost(self, error: ResponseError) -> RedisError:
        return ConnectionError(str(error)) if passes(error) else error

    def _put_aside(self, queue: bytes, item: bytes) -> bool:
        """Whether the entry is no task; then it is kept for a person to look at, and told."""
        reason = why_unreadable(item)
        if reason is None:
            return False
        kept = f"kept in the list {UNREADABLE}"
        try:
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.lpush(UNREADABLE, item)
                pipe.ltrim(UNREADABLE, 0, MOST_UNREADABLE - 1)
                pipe.expire(UNREADABLE, UNREADABLE_TTL_S)
                pipe.execute()
        except RedisError as error:
            kept = f"not kept, since Redis failed: {error}"
        log.error("queue %s: an entry is no task (%s); %s", queue.decode(), reason, kept)
        return True


class PatientTransport(kombu_redis.Transport):
    """Kombu's Redis with ``PatientChannel``."""

    Channel = PatientChannel

    def _deliver(self, message: Any, queue: Any) -> None:
        try:
            super()._deliver(message, queue)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.error("a message in %s cannot be read: %s", queue, type(error).__name__)


def use_patient_transport() -> None:
    """Have every connection of this process to a broker in Redis be patient."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{PatientTransport.__name__}"


class CalmConsumer(Consumer):
    """Beside being patient: a message per event, as Celery's own sends them, costs as much as the
    task's transport."""

    #: Missing in Celery's stubs.
    event_dispatcher: Any
    controller: Any
    _repeating: Any = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        consumers.append(self)

    def register_with_event_loop(self, hub: Any) -> None:
        """Also send what has gathered, every ``EVENTS_S`` seconds; called at each connection."""
        super().register_with_event_loop(hub)
        if self.event_dispatcher is not None:
            self.event_dispatcher.buffer_limit = MOST_EVENTS
        if self._repeating is not None:
            self._repeating.cancel()
        self._repeating = hub.call_repeatedly(EVENTS_S, self._send_events)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Wait a moment, unless waiting does not help: then this worker ends with an error."""
        if isinstance(exc, RedisError) and not passes(exc):
            log.critical(
                "this worker ends: Redis refuses, and waiting does not help: %s", refusal(exc)
            )
            raise WorkerShutdown(FAILED)
        super().on_connection_error_after_connected(exc)
        time.sleep(AGAIN_S)

    def on_send_event_buffered(self) -> Any:
        """Nothing: the next message takes it along."""

    def shutdown(self) -> None:
        """Send the last events, then end."""
        self._send_events()
        super().shutdown()

    def _send_events(self) -> None:
        if self.event_dispatcher is not None:
            self.event_dispatcher.flush()


def tell_progress(task_id: str, label: str) -> None:
    """Tell Flower of a task that is on its way, with ``label`` in the place of its arguments."""
    for consumer in consumers[-1:]:
        if consumer.event_dispatcher is not None:
            consumer.event_dispatcher.send("task-progress", uuid=task_id, args=label)


def exit_code() -> int:
    """How this process's worker ended: 0 after it was told to stop, else ``FAILED``."""
    codes = [consumer.controller.exitcode for consumer in consumers[-1:]]
    return FAILED if not codes else int(codes[0] or 0)
