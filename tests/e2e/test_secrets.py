"""The key stays in the environment: not in Redis, the run directory, logs, output or Flower."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from redis import Redis

from orchestrator.embedded import connect
from orchestrator.standin import Running, Settings
from orchestrator.standin import running as standing_in
from tests.openrouter_runs import arguments, pointed_at
from tests.processes import alive, descendants, environment, needs_proc, running, wait_until
from tests.running import Finished, Started, only_run, orchestrator, started

pytestmark = needs_proc

#: As it is copied out of a file: with the line's end.
KEY = f"sk-or-v1-marker-{secrets.token_hex(24)}"
MARK = KEY.removeprefix("sk-or-v1-")
#: In every error of the stand-in, never to be shown either.
USER = "user_2StandIn"
FORCED = ("reset", "slow", "short_body", "drip", "html_502", "server", "truncated_json", "sse")
#: In every prompt that asks for concepts.
ASKED = "Build the answer on"
PAGES = ("/", "/workers", "/tasks", "/broker", "/metrics", "/api/tasks", "/api/workers?refresh=1")


class Seen(NamedTuple):
    """What could be seen of a run while it was on, and after it."""

    redis: str
    pages: Mapping[str, str]
    environments: Mapping[str, Mapping[str, str]]
    ended: Finished
    #: Processes of the run that were alive when it had ended.
    left: list[int]
    folder: Path
    faults: Mapping[str, int]

    def files(self) -> dict[str, bytes]:
        """All that lies on the disk: run directory, logs, output, the server's append-only file."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in found}


def dump(redis: "Redis") -> str:
    """Every key with its value, in words."""
    readers = {
        "string": redis.get,
        "hash": redis.hgetall,
        "list": lambda key: redis.lrange(key, 0, -1),
        "set": redis.smembers,
        "zset": lambda key: redis.zrange(key, 0, -1),
        "stream": redis.xrange,
    }
    rows = []
    for key in redis.scan_iter(count=1000):
        kind = redis.type(key)
        if kind != "none":
            rows.append(f"{key} {readers[kind](key)!r}")
    return "\n".join(rows)


def flower_pages(command: Started) -> dict[str, str]:
    """Each page of Flower, once it shows tasks of both kinds."""
    said = command.await_words("  flower ")
    login = re.search(r"flower +(http://127\.0\.0\.1:\d+) +login (\w+):(\S+)", said)
    assert login, said
    address, user, password = login.groups()

    def get(path: str) -> str:
        answer = httpx.get(f"{address}{path}", auth=(user, password), timeout=10, trust_env=False)
        return answer.text if answer.status_code == 200 else ""

    def shows_both() -> bool:
        try:
            shown = get("/api/tasks")
        except httpx.TransportError:
            return False
        return '"generate"' in shown and '"score"' in shown

    wait_until(shows_both, "tasks of both kinds in Flower")
    # Flower hears of workers and of their tasks by different ways, in any order.
    wait_until(lambda: '"embedded-' in get("/api/workers?refresh=1"), "the worker in Flower")
    (worker,) = json.loads(get("/api/workers"))
    task = re.findall(r'"uuid": "([^"]+)"', get("/api/tasks"))[0]
    paths = (*PAGES, f"/worker/{worker}", f"/task/{task}", f"/api/task/info/{task}")
    return {path: get(path) for path in paths}


def met(standin: Running) -> set[str]:
    """The faults that calls have met so far."""
    return set(standin.control("received?last=0")["by_fault"])


def watch(standin: Running, folder: Path) -> Seen:
    """A run that meets the faults in which a key may travel, until the last one stops it."""
    standin.control("faults", {"script": [name for fault in FORCED for name in (fault, None)]})
    more = ("--steps=4000", "--set=group_size=4", "--set=request_timeout_s=1", "--flower")
    environ = pointed_at(standin, f"{KEY}\n")
    with started(*arguments(folder, *more), cwd=folder, **environ) as command:
        pages = flower_pages(command)
        children = descendants(command.pid)
        programs = {"worker": "-m worker", "flower": "-m flower"}
        pids = {name: running(children, words)[0] for name, words in programs.items()}
        environments = {name: environment(pid) for name, pid in pids.items()}
        wait_until(lambda: set(FORCED) <= met(standin), "every forced fault met")
        with connect(environments["worker"]["REDIS_URL"]) as redis:
            # Not all prompts ask for concepts, and jobs come and go.
            dumps: list[str] = []
            wait_until(lambda: dumps.append(dump(redis)) or ASKED in dumps[-1], "a prompt in Redis")
        standin.control("faults", {"matches": [{"fault": "unauthorized", "times": None}]})
        ended = command.end()
        left = [pid for pid in children if alive(pid)]
    faults = standin.control("received")["by_fault"]
    return Seen(dumps[-1], pages, environments, ended, left, folder, faults)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    settings = Settings(key=KEY, latency_ms=30, slow_s=2, drip_s=2, retry_after_s=0)
    with standing_in(settings) as standin:
        yield watch(standin, tmp_path_factory.mktemp("secret"))


def test_the_run_used_the_key_met_the_faults_and_was_stopped(seen: Seen) -> None:
    assert seen.ended.code == 3, seen.ended.err
    assert "The key was refused. Set a valid OPENROUTER_API_KEY" in seen.ended.err
    assert set(seen.faults) == {*FORCED, "unauthorized"}
    assert seen.environments["worker"]["OPENROUTER_API_KEY"].strip() == KEY


def test_no_redis_key_or_value_holds_the_key(seen: Seen) -> None:
    assert only_run(seen.folder).name in seen.redis
    assert ASKED in seen.redis
    assert [secret for secret in (MARK, USER) if secret in seen.redis] == []


def test_no_page_of_flower_holds_the_key(seen: Seen) -> None:
    assert len(seen.pages) == len(PAGES) + 3
    assert [path for path, page in seen.pages.items() if len(page) < 20] == []
    assert "embedded-" in seen.pages["/workers"]
    assert [path for path, page in seen.pages.items() if MARK in page or USER in page] == []


def test_no_file_holds_the_key_not_even_the_servers_append_only_file(seen: Seen) -> None:
    files = seen.files()

    # All that was ever written to Redis is in the append-only file.
    appended = b"".join(found for name, found in files.items() if "appendonlydir" in name)
    assert b"XADD" in appended
    assert b"Set a valid OPENROUTER_API_KEY" in appended
    assert {"worker-1.log", "valkey.log", "flower.log", "config.json", "rollouts.jsonl"} <= {
        Path(name).name for name in files
    }
    secrets = (MARK.encode(), USER.encode())
    assert [name for name, found in files.items() if any(s in found for s in secrets)] == []


def test_flower_and_all_else_that_was_started_ends_with_the_run(seen: Seen) -> None:
    assert seen.left == []


def test_nothing_that_is_printed_holds_the_key(seen: Seen) -> None:
    assert MARK not in seen.ended.out + seen.ended.err
    assert "Traceback" not in seen.ended.err


def test_flower_has_no_key_in_its_environment(seen: Seen) -> None:
    named = seen.environments["flower"]
    assert "FLOWER_PORT" in named
    assert [name for name, value in named.items() if MARK in value] == []


@pytest.mark.parametrize("words", [("run",), ("doctor", "--json"), ("worker",)])
def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(
    workplace: Path, words: tuple[str, ...]
) -> None:
    model = () if words == ("worker",) else ("--model=a/b",)

    ended = orchestrator(
        *words,
        *model,
        cwd=workplace,
        OPENROUTER_API_KEY=f"sk-or-v1-{MARK}\nOPENROUTER_X=1",
        REDIS_URL="redis://127.0.0.1:1/0" if words == ("worker",) else "",
    )

    assert ended.code == (3 if "doctor" in words else 2)
    assert "OPENROUTER_API_KEY holds a space, a line break" in ended.out + ended.err
    assert MARK not in ended.out + ended.err
    assert "Traceback" not in ended.err
