"""What the benchmarks share: CPU time of processes, Redis commands by sender, tables, JSON."""

import argparse
import json
import os
import platform
import resource
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from tests.processes import PROC

Row = Mapping[str, Any]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used since its start, user and system."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def children_cpu_s() -> float:
    """CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rss_mb(pid: int) -> float:
    """Resident memory."""
    status = (PROC / str(pid) / "status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def _stolen_s() -> float:
    """CPU seconds that the host has given to others while this machine wanted them."""
    return int((PROC / "stat").read_text().split("\n", 1)[0].split()[8]) / TICKS_PER_S


_BEGAN, _STOLEN_BEFORE_S = time.monotonic(), _stolen_s()


def machine() -> dict[str, Any]:
    """Where and beside what this was measured.

    ``loop_ms`` is the CPU time of a fixed loop: a neighbour on the same core makes it longer, and
    every CPU figure with it. ``stolen`` is the share of all cores that the host gave to others
    since this process began.
    """
    wanted_s = (time.monotonic() - _BEGAN) * (os.cpu_count() or 1)
    loops = []
    for _ in range(5):
        began = time.process_time()
        sum(range(1_000_000))
        loops.append(1000 * (time.process_time() - began))
    return {
        "loop_ms": round(statistics.median(loops), 1),
        "stolen": round((_stolen_s() - _STOLEN_BEFORE_S) / wanted_s, 3),
        "cores": os.cpu_count(),
        "load_1m": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def medians(runs: Sequence[Row]) -> dict[str, Any]:
    """Column by column; what is no number is the first run's."""
    return {
        key: statistics.median(run[key] for run in runs)
        if isinstance(value, int | float) and not isinstance(value, bool)
        else value
        for key, value in runs[0].items()
    }


def print_table(rows: Sequence[Row]) -> None:
    """One line per row, under the names of the first row's columns."""
    columns = list(rows[0])
    cells = [columns, *([shown(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        padded = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(padded), flush=True)


def shown(value: object) -> str:
    """Three significant digits for what is not whole."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def arguments(words: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes; ``words`` is the module's docstring."""
    parser = argparse.ArgumentParser(
        description=words, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


def report(rows: Sequence[Row], to: Path | None) -> None:
    """Print the table, and write it with the machine's state if a file is named."""
    print_table(rows)
    here = machine()
    print(", ".join(f"{name} {value}" for name, value in here.items()))
    if to is not None:
        found = {"machine": here, "rows": [dict(row) for row in rows]}
        to.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


class Senders:
    """Counts commands by who sent them, and those that scripts ran inside the server."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)
        self._closing = threading.Event()
        self.sent: Counter[str] = Counter()
        self.inside: Counter[str] = Counter()

    def count(self, ready: threading.Event) -> None:
        """Until ``close``; a monitored server is slower, so this goes with no timing."""
        with self._redis.monitor() as monitor:
            ready.set()
            for command in monitor.listen():
                if self._closing.is_set():
                    return
                name = str(command["command"]).split(" ", 2)
                into = self.inside if command["client_type"] == "lua" else self.sent
                into[" ".join(name[:2]) if name[0].upper() == "EVALSHA" else name[0].upper()] += 1

    def close(self) -> None:
        self._closing.set()
        self._redis.ping()


@contextmanager
def senders(url: str) -> Iterator[Senders]:
    """Commands of the server at ``url`` during the block, as MONITOR shows them."""
    counting, ready = Senders(url), threading.Event()
    thread = threading.Thread(target=counting.count, args=(ready,), daemon=True)
    thread.start()
    assert ready.wait(10), "MONITOR does not answer"
    try:
        yield counting
    finally:
        counting.close()
        thread.join(10)
