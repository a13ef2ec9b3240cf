"""What Redis knows of a run and its fleet, read when Prometheus asks: nothing in between."""

from collections.abc import Iterator, Mapping
from typing import cast

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from orchestrator.budget import ROLES, saved_ledger
from orchestrator.dispatch import Dispatcher
from orchestrator.preflight import Models
from shared.errors import RunFailed
from shared.fleet import live_workers
from shared.keys import CallKeys, account_of
from shared.queue import QUEUES
from shared.settings import openrouter_base_url
from shared.wire.money import NANO

Rows = Mapping[str, float]


class FleetMetrics(Collector):
    """Money, calls, workers, queues and pauses."""

    def __init__(self, redis: Redis, run: str, models: Models, dispatcher: Dispatcher) -> None:
        """``redis`` decodes responses, and gives up within seconds."""
        self._redis = redis
        self._run = run
        self._cap_usd = models.limits.max_cost_usd
        self._models = sorted({sampling.model for sampling in models.all()})
        self._dispatcher = dispatcher

    def describe(self) -> list[Metric]:
        """Nothing: the names are known when they are read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of it; without Redis only that it is away."""
        yield _gauge("groups_in_flight", "Groups on their way.", self._dispatcher.open_groups)
        try:
            found = [*self._money(), *self._fleet(), *self._calls()]
            up = 1
        except (RedisError, RunFailed):
            found, up = [], 0
        yield _gauge("redis_up", "1 if Redis answers.", up)
        yield from found

    def _money(self) -> Iterator[Metric]:
        ledger = saved_ledger(self._redis, self._run)
        money, faults = ledger["money"], ledger["faults"]

        def by_role(*kinds: str) -> Rows:
            return {role: sum(money.get(f"{kind}:{role}", 0) for kind in kinds) for role in ROLES}

        def dollars(*kinds: str) -> Rows:
            return {role: nano / NANO for role, nano in by_role(*kinds).items()}

        spent, doubtful = dollars("spent", "estimated"), dollars("perhaps")
        reserved = dollars("reserved")
        yield _counters("calls", "Calls that were settled.", "role", by_role("calls"))
        yield _counters("call_faults", "Calls that met a fault.", "fault", faults)
        yield _counters("cost_usd", "Dollars, known or estimated.", "role", spent)
        yield _gauges("cost_perhaps_usd", "Dollars that may have been charged.", "role", doubtful)
        yield _gauges("cost_reserved_usd", "Dollars held for calls that are out.", "role", reserved)
        if self._cap_usd is not None:
            gone = sum(sum(part.values()) for part in (spent, doubtful, reserved))
            yield _gauge("budget_usd", "Dollars that the run may spend.", self._cap_usd)
            yield _gauge("budget_left_usd", "Dollars that are left.", self._cap_usd - gone)

    def _fleet(self) -> Iterator[Metric]:
        cards = live_workers(self._redis)
        yield _gauge("workers", "Workers whose heartbeat is fresh.", len(cards))
        capacity = sum(card.groups for card in cards)
        yield _gauge("fleet_groups", "Groups that the workers can have in hand.", capacity)
        waiting = {name: float(self._redis.llen(name)) for name in QUEUES}
        yield _gauges("queue_length", "Tasks that no worker has taken.", "queue", waiting)

    def _calls(self) -> Iterator[Metric]:
        if not self._models:
            return
        keys = CallKeys(account_of(openrouter_base_url()))
        seconds, micros = self._redis.time()
        now_us = seconds * 1_000_000 + micros
        in_flight = self._redis.zcount(keys.permits, now_us, "+inf")
        pauses = [keys.pause, *map(keys.model_pause, self._models)]
        account, *models = cast(list[str | None], self._redis.mget(pauses))
        left = {
            "account": _left_s(account, now_us),
            "model": max(_left_s(until, now_us) for until in models),
        }
        yield _gauge("calls_in_flight", "Calls of the whole fleet on the wire.", int(in_flight))
        yield _gauges("pause_seconds", "Seconds until calls may leave again.", "scope", left)


def _left_s(until: str | None, now_us: int) -> float:
    """Seconds of a pause that are left; its value: end, ramp, and when it was set (us)."""
    if not until:
        return 0.0
    end_us, _, set_us = map(int, until.split())
    return max(0.0, (end_us - max(now_us, set_us)) / 1e6)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"cgrpo_{name}", words, value)


def _gauges(name: str, words: str, label: str, rows: Rows) -> Metric:
    family = GaugeMetricFamily(f"cgrpo_{name}", words, labels=[label])
    for key, value in rows.items():
        family.add_metric([key], value)
    return family


def _counters(name: str, words: str, label: str, rows: Rows) -> Metric:
    family = CounterMetricFamily(f"cgrpo_{name}", words, labels=[label])
    for key, value in rows.items():
        family.add_metric([key], value)
    return family
