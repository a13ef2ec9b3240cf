"""Prometheus: the official parser reads a run and its worker, and dashboards name what exists."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from orchestrator.standin import Settings
from orchestrator.standin.background import running
from shared.errors import EnvironmentNotReady, UsageError
from shared.metrics_server import served
from shared.settings import metrics_port
from tests.openrouter_runs import arguments, pointed_at
from tests.running import ROOT, metrics, only_run, started

MONITORING = ROOT / "docs" / "monitoring"
#: What an expression may hold beside metrics of ours, their labels, and numbers.
PROMQL = {"sum", "by", "rate", "increase", "time", "histogram_quantile"}
LABELS = {"role", "fault", "le", "outcome", "part", "scope", "queue", "kind", "job"}
NOT_OURS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}


class Scraped(NamedTuple):
    """Sample name -> (labels, value), of the orchestrator and of its worker."""

    run: dict[str, list[tuple[dict[str, str], float]]]
    worker: dict[str, list[tuple[dict[str, str], float]]]
    step: int

    def total(self, name: str) -> float:
        return sum(value for _, value in self.run[name])


def scraped(address: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    answer = httpx.get(address, timeout=10, trust_env=False)
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def address_in(text: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/metrics", text)
    assert found, text
    return found[0]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """A run with a judge and a cap, looked at after some steps."""
    folder = tmp_path_factory.mktemp("metrics")
    with running(Settings(latency_ms=20)) as standin:
        standin.control("faults", {"rates": {"short_body": 0.1}})
        words = arguments(folder, "--steps=5000", "--budget=500", "--metrics-port=0", "--yes")
        environment = {**pointed_at(standin), "WORKER_METRICS_PORT": "0"}
        with started(*words, cwd=folder, **environment) as command:
            run = command.await_step(folder, 3)
            log = (run / "logs" / "latest" / "worker-1.log").read_text("utf-8")
            worker = scraped(address_in(log))
            yield Scraped(scraped(address_in(command.err)), worker, len(metrics(only_run(folder))))


def test_a_run_shows_where_it_is_and_what_it_costs(seen: Scraped) -> None:
    values = {name: samples[0][1] for name, samples in seen.run.items()}

    assert seen.step - 1 <= values["cgrpo_step"] == values["cgrpo_policy_version"] <= seen.step
    assert values["cgrpo_max_steps"] == 5000
    assert 0 < values["cgrpo_reward"] < 1
    assert 0 < values["cgrpo_eval_reward"] < 1
    assert {labels["part"] for labels, _ in seen.run["cgrpo_reward_part"]} > {"judge", "length"}
    assert values["cgrpo_workers"] == 1
    assert values["cgrpo_fleet_groups"] == 32
    assert values["cgrpo_redis_up"] == 1
    assert 0 <= values["cgrpo_calls_in_flight"] <= 64
    assert values["cgrpo_budget_usd"] == 500
    gone = sum(map(seen.total, ("cgrpo_cost_usd_total", "cgrpo_cost_perhaps_usd")))
    left = 500 - gone - seen.total("cgrpo_cost_reserved_usd")
    assert seen.total("cgrpo_cost_usd_total") > 0
    assert values["cgrpo_budget_left_usd"] == pytest.approx(left)
    scored = [v for labels, v in seen.run["cgrpo_rollouts_total"] if labels["outcome"] == "scored"]
    assert scored[0] >= 3 * 4 * 6


def test_a_worker_shows_its_calls_by_role_and_outcome(seen: Scraped) -> None:
    calls = {(row["role"], row["outcome"]): n for row, n in seen.worker["cgrpo_worker_calls_total"]}

    assert calls["generate", "ok"] > 3 * 4 * 6
    assert calls["judge", "ok"] > 3 * 4 * 6
    assert any(outcome != "ok" for _, outcome in calls)
    seconds = dict(
        (row["role"], value) for row, value in seen.worker["cgrpo_worker_call_seconds_sum"]
    )
    assert seconds["generate"] >= 0.02 * calls["generate", "ok"]
    assert seen.worker["cgrpo_worker_groups"][0][1] == 32


def test_no_label_holds_a_prompt_a_run_or_another_value_without_a_bound(seen: Scraped) -> None:
    rows = [row for side in (seen.run, seen.worker) for name in side for row, _ in side[name]]

    assert {name for row in rows for name in row} <= LABELS
    assert max(len(value) for row in rows for value in row.values()) < 24


def expressions() -> list[str]:
    alerts: dict[str, Any] = YAML(typ="safe").load(MONITORING / "alerts.yml")
    board: dict[str, Any] = json.loads((MONITORING / "grafana/dashboard.json").read_text("utf-8"))
    return [
        *(rule["expr"] for group in alerts["groups"] for rule in group["rules"]),
        *(target["expr"] for panel in board["panels"] for target in panel["targets"]),
    ]


def test_dashboard_and_alerts_name_only_what_is_there(seen: Scraped) -> None:
    there = {*seen.run, *seen.worker}
    found = expressions()

    assert len(found) > 30
    for text in found:
        bare = re.sub(r'"[^"]*"|\[\d+[smh]\]', "", text)
        words = set(re.findall(r"[A-Za-z_]\w*", bare))
        named = {word for word in words if word.startswith("cgrpo_")}
        assert named <= there, text
        assert words - named <= PROMQL | LABELS | NOT_OURS, text
        assert bare.count("(") == bare.count(")"), text


def test_the_docs_name_every_metric_and_no_other(seen: Scraped) -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    ours = {name for name in (*seen.run, *seen.worker) if name.startswith("cgrpo_")}
    families = {re.sub(r"_(bucket|sum|count)$", "", n) for n in ours if not n.endswith("_created")}

    assert set(re.findall(r"cgrpo_\w+", text)) == families


@pytest.mark.parametrize("name", ["prometheus.yml", "alerts.yml"])
def test_the_examples_are_yaml(name: str) -> None:
    assert all(list(YAML(typ="safe").load_all(MONITORING / name)))


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentNotReady, match=f"port {port} .*; choose another port"):
            served(CollectorRegistry(), port).__enter__()


def test_others_come_in_only_if_they_are_asked_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METRICS_HOST", raising=False)
    with served(CollectorRegistry(), 0) as address:
        assert httpx.get(address, trust_env=False).status_code == 200
        assert address.startswith("http://127.0.0.1:")
    monkeypatch.setenv("METRICS_HOST", "0.0.0.0")
    with served(CollectorRegistry(), 0) as address:
        assert address.startswith("http://0.0.0.0:")


@pytest.mark.parametrize("text", ["http", "-1", "65536", "9.5"])
def test_what_is_no_port_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WORKER_METRICS_PORT", text)
    with pytest.raises(UsageError, match=f"WORKER_METRICS_PORT = '{text}' is no TCP port"):
        metrics_port("WORKER_METRICS_PORT")


def test_without_a_port_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_METRICS_PORT", " ")
    assert metrics_port("WORKER_METRICS_PORT") is None
