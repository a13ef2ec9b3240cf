"""The platform engineer's journey, typed into a terminal: a server, several workers, Flower.

``docker compose`` needs an engine that tests do not have, so the same commands are typed without
containers; the compose file itself is checked in ``tests/unit/test_compose.py``.
"""

import re
import signal
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from orchestrator.embedded import connect, free_port
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from shared.fleet import live_workers
from tests.openrouter_runs import arguments, await_held, hold_step, let_answers_go
from tests.processes import wait_until
from tests.running import Started, json_lines, metrics, only_run, started
from tests.terminal import CTRL_C, Terminal, terminal

WORKERS = 2


@pytest.fixture
def standin() -> Iterator[Running]:
    with running(Settings(latency_ms=150)) as standin:
        yield standin


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A database of its own, so that nobody else's worker is counted."""
    with connect(f"{server}/3") as redis:
        redis.flushdb()
        yield f"{server}/3"
        redis.flushdb()


def crew(
    stack: ExitStack, folder: Path, url: str, standin: Running, shift: int
) -> tuple[Started, ...]:
    """``orchestrator worker``, as often as there are workers."""
    told = {
        "REDIS_URL": url,
        "OPENROUTER_BASE_URL": standin.base_url,
        "OPENROUTER_API_KEY": DEFAULT_KEY,
    }
    return tuple(
        stack.enter_context(
            started("worker", "-c", "16", cwd=folder, name=f"worker{shift}-{number}", **told)
        )
        for number in range(WORKERS)
    )


def test_a_fleet_goes_away_and_comes_back_while_a_run_goes_on(
    standin: Running, url: str, workplace: Path
) -> None:
    words = arguments(workplace, "--steps=3", "--set=group_size=4", "--set=max_inflight=4")
    with ExitStack() as stack, terminal(workplace) as person, connect(url) as redis:
        first = crew(stack, workplace, url, standin, 1)
        wait_until(lambda: len(live_workers(redis)) == WORKERS, "workers up")
        person.run(f"export REDIS_URL={url} OPENROUTER_BASE_URL={standin.base_url}")
        person.run(f"export OPENROUTER_API_KEY={DEFAULT_KEY}")
        examined(person)

        hold_step(standin, 2)
        person.type(f"orchestrator {' '.join(words)} --yes --json | tee run.jsonl")
        person.wait_for(r'"event": "step", "step": 1\b')
        await_held(standin)
        for worker in first:
            worker.process.send_signal(signal.SIGTERM)
        for worker in first:
            wait_until(lambda told=worker: "Warm shutdown" in told.out, "the worker stops")
        let_answers_go(standin)
        person.wait_for("no worker alive")
        crew(stack, workplace, url, standin, 2)
        shown = person.end(0)

    assert re.search(rf"engine   Redis \S+ at redis://\S+ \+ {WORKERS} workers", shown)
    (line,) = set(re.findall(r"workers 2 -> .*typical.*\)", shown))
    assert re.fullmatch(
        r"workers 2 -> 0 -> \d; \d+ groups submitted again, 0 rollouts failed, nothing paid twice;"
        r" step \d took [\d.]+ s \(typical [\d.]+ s\)",
        line,
    )
    assert "IMPROVED" in shown or "NO EVIDENCE" in shown
    rows = json_lines((workplace / "run.jsonl").read_text("utf-8"))
    assert rows[-1]["event"] == "done"
    assert [row["step"] for row in metrics(only_run(workplace))] == [1, 2, 3]
    assert sum(row["failed"] for row in metrics(only_run(workplace))) == 0
    assert standin.control("ledger")["bodies_billed_more_than_once"] == 0


def examined(person: Terminal) -> None:
    shown = person.run("orchestrator doctor --model mistralai/mistral-small-3.2-24b-instruct")
    for words in (
        r"ok +redis +\S+ at redis://\*\*\*@\S+, noeviction",
        r"ok +redis +append-only file on",
        rf"ok +workers +{WORKERS} online, {WORKERS * 16} groups at a time, all \d+\.\d+\.\d+",
        r"ok +key +ok",
    ):
        assert re.search(words, shown), shown


def test_flower_shows_the_fleet_behind_the_password_of_the_environment(
    workplace: Path, url: str
) -> None:
    port = free_port()
    told = {"REDIS_URL": url, "FLOWER_BASIC_AUTH": "me:a-flower-password"}
    with terminal(workplace, told) as person:
        person.type(f"orchestrator flower --port {port}")
        person.wait_for(rf"http://127\.0\.0\.1:{port}")
        wait_until(lambda: status(port) == 401, "Flower asks for a password")
        assert status(port, "me:a-flower-password") == 200
        person.press(CTRL_C)
        shown = person.wait_for(r"<exit \d+> $")
    assert "a-flower-password" not in shown


def status(port: int, login: str = "") -> int:
    """What Flower's first page answers; 0 while nobody listens."""
    request = Request(f"http://127.0.0.1:{port}/workers")
    if login:
        request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
    try:
        with urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except URLError:
        return 0
