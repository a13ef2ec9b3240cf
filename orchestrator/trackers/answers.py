"""How many answers have come: a bar on a terminal, else at most one plain line in 5 s."""

import sys
import time
from typing import Self

from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchestrator.trackers.console import PLAIN_INTERVAL_S
from shared.terminal import styled


class Answers:
    """Shows how far asking has come. A context manager."""

    def __init__(self) -> None:
        self._terminal = Terminal(file=styled(sys.stderr), highlight=False)
        self._bar = Progress(
            TextColumn("  answers "),
            BarColumn(bar_width=36),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._terminal,
            transient=True,
            disable=not self._terminal.is_terminal,
        )
        self._task = self._bar.add_task("answers", total=None)
        self._last_plain = time.monotonic()
        self._draining = False

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, total: int, workers: int, draining: bool) -> None:
        """The newest numbers; ``draining``: a signal came, no new calls."""
        self._bar.update(self._task, completed=done, total=total)
        if draining and not self._draining:
            self._draining = True
            self._terminal.print(
                "stopping after the calls in flight (Ctrl-C again: stop now)."
                f" {done} of {total} done …"
            )
        now = time.monotonic()
        if not self._terminal.is_terminal and now - self._last_plain >= PLAIN_INTERVAL_S:
            self._last_plain = now
            lost = "" if workers else "   no worker alive"
            self._terminal.print(f"  answers {done:,} of {total:,}{lost}", soft_wrap=True)
