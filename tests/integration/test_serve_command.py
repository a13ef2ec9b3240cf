"""``orchestrator serve``, as people start and stop it."""

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from orchestrator.cli import cli
from orchestrator.config import RunConfig
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from shared.errors import EnvironmentNotReady, UsageError
from tests.processes import PATIENCE_S, wait_until
from tests.running import Started, started
from tests.serving import PLANNED
from tests.standin_calls import MODEL
from tests.trained_policies import policy_file

ASKED = {"messages": [{"role": "user", "content": PLANNED}], "max_tokens": 100}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    policy_file(folder).rename(folder / "untold.json")
    policy_file(folder, RunConfig(model=MODEL))
    return folder


@pytest.fixture(scope="module")
def standin() -> Iterator[Running]:
    with running(Settings()) as endpoint:
        yield endpoint


@contextmanager
def serving(place: Path, standin: Running, *options: str) -> Iterator[tuple[Started, str]]:
    """The command in front of the stand-in, and its address."""
    command = ("serve", "policy.json", "--port=0", f"--upstream={standin.base_url}", "--json")
    with started(*command, *options, cwd=place, OPENROUTER_API_KEY=DEFAULT_KEY) as server:
        server.await_words("model ")
        ready = json.loads((place / "command.out").read_text(encoding="utf-8"))
        assert ready.keys() == {"url", "pid"}
        assert ready["pid"] == server.pid
        yield server, ready["url"]


def ask(url: str, **headers: str) -> httpx.Response:
    asked: dict[str, Any] = {"json": ASKED, "headers": headers}
    return httpx.post(f"{url}/chat/completions", **asked, timeout=PATIENCE_S, trust_env=False)


def in_flight(url: str) -> int:
    found = httpx.get(f"{url.removesuffix('/v1')}/health", timeout=5, trust_env=False)
    return int(found.json()["in_flight"])


def listens(url: str) -> bool:
    parts = httpx.URL(url)
    try:
        socket.create_connection((parts.host, parts.port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_finishes_what_is_under_way_and_ends(
    place: Path, standin: Running, number: signal.Signals, code: int
) -> None:
    # The answer is held until all that follows has been done.
    standin.control("settings", {"latency_ms": 0, "slow_s": 3600})
    standin.control("faults", {"clear": True, "script": ["slow"]})
    with (
        serving(place, standin) as (server, url),
        ThreadPoolExecutor(1) as pool,
        httpx.Client(timeout=5, trust_env=False) as kept,
    ):
        assert kept.get(f"{url}/models").status_code == 200
        answer = pool.submit(ask, url)
        wait_until(lambda: in_flight(url) == 1, "the request is under way")
        server.process.send_signal(number)
        server.await_words("stopping: 1 requests end first")
        assert not listens(url)
        late = kept.post(f"{url}/chat/completions", json=ASKED)
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        standin.control("settings", {"slow_s": 0})
        assert answer.result(PATIENCE_S).json()["choices"]
        ended = server.end()

    assert ended.code == code
    assert "Traceback" not in ended.err
    assert "200" in ended.err
    assert DEFAULT_KEY not in ended.err + ended.out


def test_a_second_signal_ends_it_at_once(place: Path, standin: Running) -> None:
    standin.control("settings", {"latency_ms": 30_000})
    with serving(place, standin) as (server, url), ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, url)
        wait_until(lambda: in_flight(url) == 1, "the request is under way")
        server.process.send_signal(signal.SIGINT)
        server.await_words("stopping")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE_S) == 130
        with pytest.raises(httpx.HTTPError):
            answer.result(PATIENCE_S)
        assert "Traceback" not in server.err
        assert "the unknown cost of 1 calls" in server.err


def test_others_may_call_who_know_the_key(place: Path, standin: Running) -> None:
    standin.control("settings", {"latency_ms": 0})
    options = ("--host=0.0.0.0", "--api-key-env=FOR_CALLERS")
    command = ("serve", "untold.json", "--port=0", f"--upstream={standin.base_url}", *options)
    keys = {"OPENROUTER_API_KEY": DEFAULT_KEY, "FOR_CALLERS": "for-callers"}
    with started(*command, cwd=place, **keys) as server:
        assert "requests must name one" in server.await_words("model ")
        line = (place / "command.out").read_text(encoding="utf-8").strip()
        assert line.startswith("export OPENAI_BASE_URL=http://0.0.0.0:")
        url = line.partition("=")[2].replace("0.0.0.0", "127.0.0.1")
        assert ask(url).status_code == 401
        answer = ask(url, Authorization="Bearer for-callers")
        assert answer.status_code == 400
        assert "--model" in answer.json()["error"]["message"]
        assert "for-callers" not in server.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no-such-run",), "no run called 'no-such-run'"),
        (("missing.json",), "missing.json"),
        (("policy.json", "--host", "0.0.0.0"), "--api-key-env"),
        (("policy.json", "--api-key-env", "NOT_SET"), "NOT_SET"),
        (("policy.json", "--upstream", "ftp://x"), "--upstream 'ftp://x'"),
        (("policy.json", "--seed", "3"), "--sampled"),
        (("policy.json", "--api-key-env", "ODD"), "ODD holds a space"),
        (("policy.json", "--api-key-env", "GOOD"), "export OPENROUTER_API_KEY"),
    ],
)
def test_what_cannot_be_served_is_said_before_it_listens(
    place: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("ODD", "two words")
    monkeypatch.setenv("GOOD", "for-callers")
    for name in ("OPENROUTER_API_KEY", "OPENROUTER_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    ended = CliRunner().invoke(cli, ["serve", *arguments])

    assert isinstance(ended.exception, UsageError)
    assert words in str(ended.exception)
    assert "two words" not in str(ended.exception)
    assert ended.output == ""


def test_a_host_that_cannot_be_is_said_in_a_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOD", "for-callers")
    monkeypatch.setenv("OPENROUTER_API_KEY", DEFAULT_KEY)
    arguments = ["--host", "é..example", "--api-key-env", "GOOD"]
    ended = CliRunner().invoke(cli, ["serve", str(place / "policy.json"), *arguments])

    assert isinstance(ended.exception, EnvironmentNotReady)
    assert "cannot listen on é..example" in str(ended.exception)


def test_a_taken_port_is_said_in_a_sentence(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = CliRunner().invoke(cli, ["serve", str(place / "policy.json"), "--port", port])

    assert isinstance(ended.exception, EnvironmentNotReady)
    assert f"cannot listen on 127.0.0.1:{port}" in str(ended.exception)
    assert ended.output == ""
