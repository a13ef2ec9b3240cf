"""``/metrics`` for Prometheus, on a thread of its own. Off unless a port is set."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from shared.errors import EnvironmentNotReady
from shared.settings import METRICS_HOST


@contextmanager
def served(registry: CollectorRegistry, port: int) -> Iterator[str]:
    """The address that answers with the registry's metrics inside.

    Port 0 takes a free one. On loopback unless METRICS_HOST says otherwise: there is no password.
    Raises EnvironmentNotReady if nobody can listen there.
    """
    host = os.environ.get(METRICS_HOST, "").strip() or "127.0.0.1"
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise EnvironmentNotReady(
            f"metrics cannot be served on {host} port {port} ({error.strerror or error});"
            " choose another port, or 0 for a free one"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
