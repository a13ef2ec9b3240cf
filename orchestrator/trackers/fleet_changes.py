"""What became of a fleet during a step, in one line: workers gone and back, groups sent again."""

from collections.abc import Mapping
from statistics import median


class FleetChanges:
    """Counts workers while a step goes on. One per run and process."""

    def __init__(self) -> None:
        #: Numbers of workers since the last step ended, each other than the one before.
        self._workers: list[int] = []
        self._resubmitted = self._told = 0
        self._doubtful_usd: float | None = None
        self._seconds: list[float] = []

    def seen(self, workers: int, resubmitted: int) -> None:
        """News: workers alive, and groups submitted again since the run began."""
        self._resubmitted = resubmitted
        # Before the first look at the fleet nobody is known.
        known = workers or self._workers
        if known and self._workers[-1:] != [workers]:
            self._workers.append(workers)

    def ended(self, step: int, metrics: Mapping[str, float | int | None]) -> str:
        """What to say of the step's fleet; empty if nothing happened to it."""
        seconds, before = float(metrics["step_s"] or 0), self._seconds[:]
        again = self._resubmitted - self._told
        doubtful = float(metrics.get("cost/perhaps") or 0)
        more = doubtful - (doubtful if self._doubtful_usd is None else self._doubtful_usd)
        turns = _turns(self._workers)
        self._seconds.append(seconds)
        self._told, self._doubtful_usd = self._resubmitted, doubtful
        self._workers = self._workers[-1:]
        if len(turns) < 2 and not again:
            return ""
        words = f"workers {' -> '.join(map(str, turns))}; {again} groups submitted again"
        words += f", {metrics['failed']} rollouts failed"
        if metrics.get("calls"):
            words += _paid_twice(more, int(metrics.get("cost/unpriced_calls") or 0))
        typical = f" (typical {median(before):.1f} s)" if before else ""
        return f"{words}; step {step} took {seconds:.1f} s{typical}"


def _paid_twice(usd: float, unpriced_calls: int) -> str:
    if usd > 0:
        return f", up to ${usd:.4f} paid twice"
    if unpriced_calls:
        return ", what was paid twice is unknown: calls have no price"
    return ", nothing paid twice"


def _turns(counts: list[int]) -> list[int]:
    """First, last, and where rising and falling change."""
    return [
        count
        for at, count in enumerate(counts)
        if at in {0, len(counts) - 1} or (count - counts[at - 1]) * (counts[at + 1] - count) < 0
    ]
