"""The stand-in for OpenRouter in a process of its own, also behind TLS.

    python -m tests.benchmarks._endpoint --latency-ms 500 [--sigma 0.6] [--certificate FOLDER]

The certificate is made by the openssl command. Clients trust it by SSL_CERT_FILE, so nothing in
any of them is switched off.
"""

import argparse
import asyncio
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import uvloop

from orchestrator.standin import DEFAULT_KEY
from orchestrator.standin.desk import Desk
from orchestrator.standin.http import MAX_HEAD
from orchestrator.standin.server import BACKLOG, HOST, PREFIX, Server
from orchestrator.standin.settings import Settings
from tests.processes import put_down

FILES = ("certificate.pem", "key.pem")


class Endpoint(NamedTuple):
    """A stand-in that listens."""

    pid: int
    port: int
    base_url: str
    #: What a client's process needs to know: address, key, whom to trust.
    environment: dict[str, str]


@contextmanager
def endpoint(
    folder: Path, latency_ms: float, sigma: float = 0.0, tls: bool = True, canned: bool = False
) -> Iterator[Endpoint]:
    """A stand-in until the end of the block, or a ``_canned`` endpoint, which has no sigma; its
    certificate lies in ``folder``."""
    options = [f"--latency-ms={latency_ms}", *([] if canned else [f"--sigma={sigma}"])]
    trust = {}
    if tls:
        make_certificate(folder)
        options.append(f"--certificate={folder}")
        trust = {"SSL_CERT_FILE": str(folder / FILES[0])}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            f"tests.benchmarks.{'_canned' if canned else '_endpoint'}",
            *options,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        url = f"{'https' if tls else 'http'}://{HOST}:{port}{PREFIX}"
        environment = {"OPENROUTER_BASE_URL": url, "OPENROUTER_API_KEY": DEFAULT_KEY, **trust}
        yield Endpoint(process.pid, port, url, environment)
    finally:
        put_down(process)


def make_certificate(folder: Path, name: str = "localhost") -> None:
    """A certificate for 127.0.0.1 and ``name`` that trusts itself, for a day."""
    certificate, key = (str(folder / name) for name in FILES)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate,
         "-addext", f"subjectAltName=IP:{HOST},DNS:{name}",
         "-addext", "basicConstraints=critical,CA:FALSE"],
        check=True, capture_output=True,
    )  # fmt: skip


def tls_context(folder: Path) -> ssl.SSLContext:
    """A server's, with the certificate in ``folder``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = FILES
    context.load_cert_chain(folder / certificate, folder / key)
    return context


async def serve(settings: Settings, certificate: Path | None) -> None:
    """Listen, say where, and serve until killed."""
    server = Server(Desk(settings))
    context = tls_context(certificate) if certificate else None
    listening = await asyncio.start_server(
        server.connected, HOST, 0, limit=MAX_HEAD, backlog=BACKLOG, ssl=context
    )
    await serve_forever(listening)


async def serve_forever(listening: asyncio.Server) -> None:
    """Print the port, and serve until killed."""
    print(listening.sockets[0].getsockname()[1], flush=True)
    async with listening:
        await listening.serve_forever()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency-ms", type=float, default=500)
    parser.add_argument("--sigma", type=float, default=0)
    parser.add_argument("--certificate", type=Path)
    wanted = parser.parse_args()
    settings = Settings(latency_ms=wanted.latency_ms, sigma=wanted.sigma)
    uvloop.run(serve(settings, wanted.certificate))


if __name__ == "__main__":
    main()
