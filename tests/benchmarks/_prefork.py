"""The usual way: a Celery prefork worker, a task per call, a synchronous client per child."""

import os
import subprocess
import sys
import time

import httpx
from celery import Celery
from redis import Redis

from tests.benchmarks._peers import KEY, URL, body
from tests.processes import put_down, wait_until

BROKER = os.environ.get("REDIS_URL", "")
DONE = "bench:done"
app = Celery("prefork", broker=BROKER)
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, task_acks_late=True)
_client: list[httpx.Client] = []


@app.task(name="bench.call")
def call(number: int) -> None:
    """One call."""
    if not _client:
        _client.append(httpx.Client(headers={"Authorization": f"Bearer {KEY}"}, timeout=60))
    content_type = {"Content-Type": "application/json"}
    url = f"{URL}/chat/completions"
    _client[0].post(url, content=body(number), headers=content_type).raise_for_status()
    _redis.incr(DONE)


_redis = Redis.from_url(BROKER)


def calls(in_flight: int, count: int, within_s: float) -> tuple[float, int]:
    """When the calls began, and how many were answered in time."""
    _redis.delete(DONE)
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.benchmarks._prefork", "-q", "worker",
         "--pool=prefork", f"--concurrency={in_flight}", "--without-gossip", "--without-mingle",
         "--loglevel=ERROR"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # Every child has made its first call, and with it its connection.
        for number in range(in_flight):
            call.delay(-1 - number)
        wait_until(lambda: int(_redis.get(DONE) or 0) >= in_flight, "children ready")
        began = time.monotonic()
        for number in range(count):
            call.delay(number)
        end = began + within_s
        while (answered := int(_redis.get(DONE) or 0) - in_flight) < count:
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        return began, answered
    finally:
        put_down(worker)
