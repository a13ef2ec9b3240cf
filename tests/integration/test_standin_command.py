"""``orchestrator demo-openrouter``, as people start and stop it."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from orchestrator.cli import cli
from orchestrator.standin import Running
from shared.errors import UsageError
from tests.processes import PATIENCE_S, put_down
from tests.standin_calls import ask, body, call

COMMAND = [
    sys.executable,
    "-c",
    "from orchestrator.cli import main; main()",
    "demo-openrouter",
]


@contextmanager
def started(*options: str) -> Iterator[tuple["subprocess.Popen[str]", Running, dict[str, str]]]:
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        lines = [process.stdout.readline().strip() for _ in range(2)]
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
        exported = {name: value for name, value in pairs}
        url = exported["OPENROUTER_BASE_URL"]
        yield process, Running(urlsplit(url).port or 0, url), exported
    finally:
        put_down(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_when_told(number: signal.Signals) -> None:
    with started("--seed", "3", "--fault", "server=1") as (process, standin, exported):
        assert exported["OPENROUTER_API_KEY"] == "sk-or-v1-stand-in"
        assert ask(standin).status == 500
        # An open connection does not keep it from ending.
        with socket.create_connection(("127.0.0.1", standin.port)):
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == 0
        assert process.stderr
        words = process.stderr.read()
        assert "Traceback" not in words
        assert "stopped; 0 generations" in words


def test_options_reach_the_server() -> None:
    options = "--no-key --rpm 1 --latency-ms 5 --sigma 0.1 --max-in-flight 9 --credit 2.5"
    with started(*options.split(), "--fault-rate", "0") as (_, standin, exported):
        assert exported["OPENROUTER_API_KEY"] == "none-needed"
        statuses = [
            call(standin, "POST", "/api/v1/chat/completions", body(str(n))).status for n in range(2)
        ]
        assert statuses == [200, 429]
        settings = standin.control("settings")
        assert (settings["credit"], settings["max_in_flight"]) == ("2.5", 9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fault", "resett=0.1"], "did you mean reset?"),
        (["--fault", "reset=often"], "NAME=RATE"),
        (["--fault", "reset=0.6", "--fault", "server=0.6"], "more than 1"),
        (["--fault-rate", "1.5"], "between 0 and 1"),
        (["--credit", "much"], "--credit 'much'"),
        (["--sigma", "99"], "--sigma 99"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(options: list[str], words: str) -> None:
    ended = CliRunner().invoke(cli, ["demo-openrouter", *options])

    assert isinstance(ended.exception, UsageError)
    assert words in str(ended.exception)
    assert ended.output == ""


def test_a_taken_port_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [*COMMAND, "--port", port], capture_output=True, text=True, check=False
        )

    assert (ended.returncode, ended.stdout) == (3, "")
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr
