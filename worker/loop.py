"""The worker process's one asyncio loop: every slot of every task runs here.

Celery's threads hand a coroutine over and wait. The loop also beats: it renews the card that says
this worker is alive, and the leases of the groups it has in hand. A loop that stalls stops beating,
so a worker that is stuck looks dead, as it should.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.keys import HEARTBEAT_S, LEASE_TTL_S, WORKERS, account_of
from shared.messages import WorkerCard
from shared.patience import patient_async
from shared.redis_address import refusal
from shared.settings import openrouter_api_key, openrouter_base_url
from shared.wire.client import ChatClient
from worker.calls import Caller
from worker.connection import PackedConnection
from worker.governor import Governor
from worker.progress import TaskProgress
from worker.providers import providers
from worker.providers.base import Provider
from worker.scripting import Scripting
from worker.slots import Slots, lua
from worker.watching import Watch

Result = TypeVar("Result")
log = logging.getLogger(__name__)


class WorkerLoop:
    """A daemon thread with the loop, its Redis client, its caller of models, and its heartbeat."""

    caller: Caller
    providers: dict[str, Provider]
    _client: ChatClient
    _governor: Governor

    def __init__(
        self,
        redis_url: str,
        name: str,
        groups: int,
        queues: tuple[str, ...],
        lease_s: float = LEASE_TTL_S,
    ) -> None:
        self.card = WorkerCard(
            name=name,
            version=version("concept-grpo"),
            pid=os.getpid(),
            groups=groups,
            queues=queues,
        )
        self.redis = Redis.from_url(
            redis_url,
            connection_class=PackedConnection,
            decode_responses=True,
            socket_timeout=10,
            socket_connect_timeout=5,
            socket_keepalive=True,
            retry=patient_async(),
        )
        self.progress = TaskProgress(self.redis)
        #: Told of every call.
        self.watches: list[Watch] = []
        self._scripting = Scripting(self.redis)
        self.slots = Slots(self._scripting, name, lease_s)
        #: A lease is renewed four times before it would expire.
        self._heartbeat_s = min(HEARTBEAT_S, lease_s / 4)
        self._sign = self.redis.register_script(lua("beat"))
        self._loop = _event_loop()
        self._thread = threading.Thread(target=self._run, name="slots", daemon=True)

    def start(self) -> None:
        """Start the thread; the first heartbeat is out when this returns, or Redis is away."""
        self._thread.start()
        self.wait(self._equip())
        self.wait(self._beat())
        asyncio.run_coroutine_threadsafe(self._beat_forever(), self._loop)

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run ``work`` on the loop and wait for it in the calling thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _equip(self) -> None:
        # On the loop, where the client's connections live.
        url = openrouter_base_url()
        self._client = ChatClient(url, openrouter_api_key())
        self._governor = Governor(self.redis, self._scripting, account_of(url))
        self.caller = Caller(self.redis, self._governor, self._client, self.watches)
        self.providers = providers(self.caller)

    async def stop_run(self, run: str, sentence: str) -> None:
        """Let the run make no more calls, and its orchestrator end with this sentence."""
        try:
            await self._governor.stop(run, "redis", sentence)
        except RedisError as error:
            # The stop is set first: what comes after it may be what Redis refuses.
            log.error("%s: perhaps not stopped: %s", run, error)

    def drain(self) -> None:
        """Make no new call of a model: what is on the wire ends, the rest goes back."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.caller.drain)

    def stop(self) -> None:
        """Take the card away and end the loop, if it ever began: Redis may never have answered."""
        if not self._thread.is_alive():
            return
        try:
            self.wait(self._take_card_away())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=5)

    async def _take_card_away(self) -> None:
        try:
            await self.redis.zrem(WORKERS, self.card.model_dump_json())
        except RedisError as error:
            log.warning("this worker looks alive for some seconds more: %s", type(error).__name__)
        await self._governor.aclose()
        await self._client.aclose()
        await self.redis.aclose()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            await self._beat()

    async def _beat(self) -> None:
        try:
            await self._sign(keys=[WORKERS], args=[self.card.model_dump_json()])
            await self.slots.renew_all()
            await self.progress.look()
        except RedisError as error:
            log.warning("heartbeat missed: %s", refusal(error) or type(error).__name__)


def _event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which takes less CPU per call, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
