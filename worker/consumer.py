"""Celery's consumer, which tells Flower of tasks in batches, some times a second."""

from typing import Any

from celery.worker.consumer import Consumer

#: Seconds between two messages about tasks; a message carries all events since the last one.
EVENTS_S = 0.5
#: Events that one message carries at most.
MOST_EVENTS = 1000


#: The consumer of this process, once Celery has made it.
consumers: "list[CalmConsumer]" = []


class CalmConsumer(Consumer):
    """A message per event, as Celery's own sends them, costs as much as the task's transport."""

    #: Missing in Celery's stubs.
    event_dispatcher: Any
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
