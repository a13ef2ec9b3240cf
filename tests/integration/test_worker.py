"""A worker process: it beats, holds what it has in hand, ends in order, and survives bad jobs."""

import json
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from orchestrator.broker import Broker
from orchestrator.dispatch import Dispatcher
from orchestrator.embedded import connect
from shared.fleet import live_workers
from shared.keys import LEASE_TTL_S, UNREADABLE, WORKER_TTL_S, WORKERS, RunKeys
from shared.messages import FailureKind, RewardTerm
from shared.queue import celery_app
from tests.processes import PATIENCE_S, put_down, wait_until
from tests.running import ROOT, clean_environment
from tests.working import LENGTH, Worker, dispatching, group_job, worker_process


def worker_command(*arguments: str, home: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=ROOT,
        env=clean_environment(home, env),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def write_jobs(redis: Redis, run: str, latency_s: float = 0.0) -> None:
    job = group_job(run, latency_s=latency_s)
    redis.set(RunKeys(run).job(1, "e001", "generate"), job.generate.model_dump_json())


def results(redis: Redis, run: str) -> set[str]:
    return set(redis.hkeys(RunKeys(run).slots(1, "e001")))


def test_a_worker_beats_and_its_card_goes_with_sigterm(
    empty_url: str, empty_redis: Redis, workplace: Path
) -> None:
    with worker_process(empty_url, workplace, "mayfly", "--queues", "score") as mayfly:
        (card,) = live_workers(empty_redis)

        mayfly.process.send_signal(signal.SIGTERM)
        code = mayfly.process.wait(PATIENCE_S)

    assert (card.name, card.pid, card.groups) == ("mayfly", mayfly.process.pid, 8)
    assert card.queues == ("score",)
    assert code == 0
    assert empty_redis.zcard(WORKERS) == 0


def test_a_worker_that_never_reached_redis_ends_with_sigterm(
    workplace: Path, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with log.open("wb") as out:
        lonely = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            cwd=ROOT,
            env=clean_environment(workplace, {"REDIS_URL": "redis://127.0.0.1:1/0"}),
            stdout=out,
            stderr=out,
        )
    try:
        wait_until(lambda: b"Cannot connect" in log.read_bytes(), "no try to connect")
        lonely.send_signal(signal.SIGTERM)
        assert lonely.wait(PATIENCE_S) == 0
    finally:
        lonely.kill()


def test_a_card_that_is_not_renewed_is_no_longer_alive(
    empty_redis: Redis, worker: Worker, server: str
) -> None:
    with connect(f"{server}/0") as there:
        (card,) = (c for c in live_workers(there) if c.name == worker.name)
    now = empty_redis.time()[0]

    empty_redis.zadd(WORKERS, {card.model_dump_json(): now - WORKER_TTL_S - 1})
    assert live_workers(empty_redis) == []

    empty_redis.zadd(WORKERS, {card.model_dump_json(): now - WORKER_TTL_S + 3})
    assert live_workers(empty_redis) == [card]


def test_sigterm_lets_running_groups_finish(
    empty_url: str, empty_redis: Redis, run_id: str, workplace: Path
) -> None:
    lease = RunKeys(run_id).lease(1, "e001", "generate")
    with (
        worker_process(empty_url, workplace, "leaver") as leaver,
        celery_app(empty_url) as app,
    ):
        write_jobs(empty_redis, run_id, latency_s=1.5)
        app.send_task("generate", args=(run_id, 1, "e001", 1))
        wait_until(lambda: empty_redis.exists(lease), "group in hand")

        leaver.process.send_signal(signal.SIGTERM)
        code = leaver.process.wait(PATIENCE_S)

    assert code == 0
    assert results(empty_redis, run_id) == {f"generate:{slot}" for slot in range(4)}
    assert not empty_redis.exists(lease)
    assert empty_redis.llen("generate") == 0


def test_the_lease_is_renewed_while_the_work_is_slow(
    server: str, worker: Worker, redis: Redis, run_id: str
) -> None:
    lease = RunKeys(run_id).lease(1, "e001", "generate")
    write_jobs(redis, run_id, latency_s=6)
    with celery_app(f"{server}/0") as app:
        app.send_task("generate", args=(run_id, 1, "e001", 1))
    wait_until(lambda: redis.exists(lease), "group in hand")

    shortened_ms = LEASE_TTL_S * 1000 - 1000
    redis.pexpire(lease, shortened_ms)

    wait_until(lambda: redis.pttl(lease) > shortened_ms, "renewed")

    redis.delete(RunKeys(run_id).job(1, "e001", "generate"))


def test_a_job_of_another_version_is_left_undone_and_the_worker_goes_on(
    server: str, worker: Worker, redis: Redis, dispatcher: Dispatcher, run_id: str
) -> None:
    keys = RunKeys(run_id)
    for role, task in (("generate", "generate"), ("score", "score")):
        redis.set(keys.job(1, "e001", role), '{"from": "the future"}')  # type: ignore[arg-type]
        with celery_app(f"{server}/0") as app:
            app.send_task(task, args=(run_id, 1, "e001", 1))
        wait_until(
            lambda role=role: f"role='{role}'" in worker.log.read_text(encoding="utf-8"), "said"
        )

    assert "is of another version" in worker.log.read_text(encoding="utf-8")
    assert results(redis, run_id) == set()
    lease = keys.lease(1, "e001", "score")
    wait_until(lambda: not redis.exists(lease), "given back")
    found = dispatcher.collect([group_job(run_id, "sound")], deadline_s=600)
    assert all(result.reward for result in found["sound"].values())


@pytest.mark.parametrize("name", ["raises", "leaves", "not_a_number", "word"])
def test_a_reward_that_fails_is_a_missing_reward_and_the_others_go_on(
    dispatcher: Dispatcher, run_id: str, name: str
) -> None:
    broken = [*LENGTH, RewardTerm(name=f"tests.custom_rewards:{name}", weight=1.0)]

    found = dispatcher.collect(
        [group_job(run_id, "broken", rewards=broken), group_job(run_id, "sound")], deadline_s=600
    )

    for completion, reward, failure in found["broken"].values():
        assert completion is not None
        assert reward is None
        assert failure is not None
        assert failure.kind is FailureKind.REWARD_ERROR
        assert f"tests.custom_rewards:{name}" in failure.message
    assert all(result.reward for result in found["sound"].values())


def test_a_custom_reward_gets_the_columns_of_the_data(dispatcher: Dispatcher, run_id: str) -> None:
    terms = [RewardTerm(name="tests.custom_rewards:graded", weight=1.0)]

    found = dispatcher.collect([group_job(run_id, rewards=terms, difficulty=0.3)], deadline_s=600)

    assert {r.reward.value for r in found["e001"].values() if r.reward} == {0.3}


def test_the_workers_say_what_is_wrong_with_reward_terms(
    dispatcher: Dispatcher, server: str
) -> None:
    broker = Broker(celery_app(f"{server}/0"), "checked")

    def problems(name: str, **options: object) -> list[str]:
        term = {"name": name, "weight": 1.0, "options": options}
        return broker.check_rewards([term], ["level"], workers=1)

    (no_module,) = problems("nosuchmodule:reward")
    (no_function,) = problems("tests.custom_rewards:short_anser")
    (no_column,) = problems("tests.custom_rewards:graded")
    (no_option,) = problems("length", target=80)

    assert "cannot import module 'nosuchmodule'" in no_module
    assert "did you mean 'short_answer'?" in no_function
    assert "asks for 'difficulty'" in no_column
    assert "data columns are level" in no_column
    assert "has no option 'target'" in no_option
    assert problems("tests.custom_rewards:graded", difficulty=0.5) == []


def test_a_worker_without_a_server_address_exits_3_and_says_so(tmp_path: Path) -> None:
    ended = worker_command(home=tmp_path)

    assert ended.returncode == 3
    assert ended.stderr == "error: REDIS_URL is not set; a worker needs redis://HOST:PORT/DB\n"


@pytest.mark.parametrize(
    ("queues", "words"), [("generate,scores", "no queue 'scores'"), (" ,", "no queue 'nothing'")]
)
def test_unknown_queues_exit_2_and_name_the_known_ones(
    tmp_path: Path, queues: str, words: str
) -> None:
    ended = worker_command("--queues", queues, home=tmp_path, REDIS_URL="redis://127.0.0.1:1/0")

    assert ended.returncode == 2
    assert f"{words}; choose from generate, score" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_malformed_server_address_exits_2_without_a_traceback(tmp_path: Path) -> None:
    ended = worker_command(home=tmp_path, REDIS_URL="http://user:pass@host")

    assert ended.returncode == 2
    assert "is not the address of a Redis server" in ended.stderr
    assert "pass@" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_healthy_means_a_fresh_heartbeat_of_this_host(empty_url: str, workplace: Path) -> None:
    def healthy() -> int:
        return worker_command("--healthy", home=workplace, REDIS_URL=empty_url).returncode

    before = healthy()
    with worker_process(empty_url, workplace, f"{socket.gethostname()}-1"):
        during = healthy()

    assert (before, during) == (1, 0)


def task_as_celery_writes_it(url: str, redis: Redis) -> dict[str, Any]:
    app = celery_app(url)
    try:
        app.send_task("generate", args=("any", 1, "e001", 1), task_id="any/1", declare=())
    finally:
        app.close()
    written: dict[str, Any] = json.loads(redis.rpop("generate"))
    return written


def test_what_is_no_task_is_put_aside_and_costs_nothing(
    empty_url: str, empty_redis: Redis, workplace: Path, run_id: str
) -> None:
    task = task_as_celery_writes_it(empty_url, empty_redis)
    headers, properties = task["headers"], task["properties"]
    nothing = b64encode(b"[]").decode()
    poison = [
        "garbage", "", "[]", "null", "1", b"\xff\xfe", "{}", "[" * 100_000,
        *(json.dumps(task | change) for change in (
            {"content-type": "application/x-python-serialize"},
            {"content-encoding": "binary"},
            {"headers": {}},
            {"headers": headers | {"task": "celery.backend_cleanup"}},
            {"headers": {name: value for name, value in headers.items() if name != "id"}},
            {"properties": {}},
            {"properties": properties | {"delivery_tag": None}},
            {"body": "not base64!"},
            {"body": nothing},
            {"body": b64encode(b'[["any", "one", "e001", 1], {}, {}]').decode()},
        )),
    ]  # fmt: skip

    with worker_process(empty_url, workplace, "careful", "--groups", "1") as careful:
        with dispatching(empty_url, run_id) as dispatcher:
            for queue in ("generate", "score"):
                empty_redis.lpush(queue, *poison)
            found = dispatcher.collect([group_job(run_id)], deadline_s=60)

        assert len(found["e001"]) == 4
        wait_until(lambda: not empty_redis.exists("generate", "score"), "queues are empty")
        careful.process.send_signal(signal.SIGTERM)
        assert careful.process.wait(20) == 0

    kept = Redis.from_url(empty_url).lrange(UNREADABLE, 0, -1)
    as_bytes = [entry.encode() if isinstance(entry, str) else entry for entry in poison]
    assert sorted(kept) == sorted(2 * as_bytes)
    log = careful.log.read_text(encoding="utf-8")
    assert log.count("an entry is no task") == 2 * len(poison)
    assert "reconnect" not in log.lower()
    assert "Traceback" not in log
    assert "garbage" not in log


def test_a_worker_that_an_error_ends_says_so_with_its_exit_code(
    empty_url: str, empty_redis: Redis, workplace: Path
) -> None:
    empty_redis.set("generate", "a string where a list belongs")
    log = workplace / "worker.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            cwd=ROOT,
            env=clean_environment(workplace, {"REDIS_URL": empty_url}),
            stdout=output,
            stderr=output,
        )
        try:
            code = process.wait(30)
        finally:
            put_down(process)

    assert code == 1
    assert "Redis refuses, and waiting does not help: WRONGTYPE" in log.read_text("utf-8")
