"""An HTTP proxy on loopback, of which alone a made-up host is known, for the tests of clients."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

#: A host that no name server knows (RFC 2606).
HOST = "models.example"


class Forwarding:
    """What it was asked for."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = targets
        self.url = ""
        #: The first line and the headers of each connection's first request.
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            line, *others = head.decode().rstrip().split("\r\n")
            self.asked.append(line)
            self.headers.append(dict(pair.lower().split(": ", 1) for pair in others))
            method, wanted, _ = line.split()
            host = wanted.partition(":")[0] if method == "CONNECT" else urlsplit(wanted).hostname
            target = urlsplit(self._targets[host or ""])
            there, back = await asyncio.open_connection(target.hostname, target.port)
            ends.append(back)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                back.write(head)
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in ends:
                end.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@contextlib.asynccontextmanager
async def forwarding(target: str) -> AsyncIterator[Forwarding]:
    """A proxy that knows ``HOST`` as the server at ``target``."""
    proxy = Forwarding({HOST: target})
    running: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.create_task(proxy.serve(reader, writer)))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        listener.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)
