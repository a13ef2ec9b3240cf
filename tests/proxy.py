"""A TCP proxy on loopback that makes the network between two programs bad on purpose."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Between a client and the server at ``target``; made by ``proxying``."""

    def __init__(self, target: str, address: str = "127.0.0.1") -> None:
        self._address = address
        self._parts = urlsplit(target)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        #: Seconds that every piece of data is late, each way.
        self.latency_s = 0.0
        #: Connections that were cut.
        self.cuts = 0

    @property
    def url(self) -> str:
        """The target's address, by way of this proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        login, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}{self._address}:{port}"))

    @property
    def connections(self) -> int:
        """How many ends of connections are open now."""
        return len(self._open)

    def cut(self) -> None:
        """Reset every connection that is open now, in the middle of whatever it says."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        self.cuts += len(self._open)
        for writer in list(self._open):
            writer.transport.abort()

    def start(self) -> None:
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._address, 0)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        serving = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(
                self._parts.hostname, self._parts.port
            )
            ends = (writer, far_writer)
            self._open.update(ends)
            try:
                await asyncio.gather(
                    self._pass_on(reader, far_writer), self._pass_on(far_reader, writer)
                )
            finally:
                for end in ends:
                    self._open.discard(end)
                    end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either side ends; late data keeps its order and does not hold up what follows."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    return
                writer.write(data)
                await writer.drain()

        delivering = asyncio.create_task(deliver())
        try:
            while data := await reader.read(65536):
                queue.put_nowait((loop.time() + self.latency_s, data))
            queue.put_nowait((0.0, b""))
            await delivering
        finally:
            delivering.cancel()
            writer.transport.abort()


@contextmanager
def proxying(target: str, address: str = "127.0.0.1") -> Iterator[Proxy]:
    """A proxy at ``address`` in front of ``target``, as ``redis://:password@127.0.0.1:PORT/0``."""
    proxy = Proxy(target, address)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
