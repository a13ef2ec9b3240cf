"""The Celery app both sides share: task names, queues, and the only Celery settings.

A group of slots travels as one task, late acknowledged, one at a time per thread: a straggler holds
nothing else up, and what a worker that stops has not done goes back to the queue.
"""

from celery import Celery
from kombu import Exchange, Queue

GENERATE = "generate"
SCORE = "score"
QUEUES = (GENERATE, SCORE)


def celery_app(broker_url: str, max_connections: int = 64) -> Celery:
    """The app on the Redis server at ``broker_url``."""
    app = Celery("concept-grpo", broker=broker_url, set_as_current=False)
    app.conf.update(
        # An exchange of its own per queue: on a shared one every message reaches both.
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_routes={name: {"queue": name} for name in QUEUES},
        task_create_missing_queues=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_send_sent_event=False,
        task_track_started=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=30,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_publish_retry_policy={"max_retries": 5, "interval_max": 3},
        broker_transport_options={
            # A worker keeps in mind, and not in Redis (eight commands a task), what it has in hand,
            # and puts it back when it is told to stop. What was in the hands of a dead one the
            # orchestrator submits again, for groups have leases.
            "ack_emulation": False,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "max_connections": max_connections,
            "priority_steps": [0],
        },
        enable_utc=True,
    )
    return app
