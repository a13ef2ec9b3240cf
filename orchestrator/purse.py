"""The money of calls that one process makes by itself: a cap that holds, and what was spent.

A run's money is the fleet's, and lies in Redis (``budget``).
"""

from typing import NamedTuple

from shared.wire.money import NANO, USUAL, Bill, Ceiling
from shared.wire.verdicts import Billed


class Spent(NamedTuple):
    """What calls have cost so far, in USD."""

    #: Named by the endpoint, or estimated where it named nothing.
    known_usd: float
    #: Of calls whose answer never came whole: the most that they may have cost.
    perhaps_usd: float


class Purse:
    """Money is reserved before a call leaves, and settled when it has ended.

    All calls are to one model. What it bills is known from its bills alone: under a budget the
    first call goes alone, no more are out than twice as many as were billed, and each bill that is
    dearer than those before raises what is reserved.
    """

    def __init__(self, budget_usd: float | None) -> None:
        self._budget_nusd = None if budget_usd is None else round(budget_usd * NANO)
        self._known_nusd = self._perhaps_nusd = self._reserved_nusd = 0
        self._out: list[Ceiling] = []
        self._rates, self._bills = USUAL, 0

    @property
    def spent(self) -> Spent:
        """Of all calls that have ended."""
        return Spent(self._known_nusd / NANO, self._perhaps_nusd / NANO)

    @property
    def left_nusd(self) -> float:
        """What may still be reserved."""
        if self._budget_nusd is None:
            return float("inf")
        return self._budget_nusd - self._known_nusd - self._perhaps_nusd - self._reserved_nusd

    @property
    def pending(self) -> bool:
        """Whether calls are out, of whose reserved money some may come back."""
        return bool(self._out)

    def most_nusd(self, ceiling: Ceiling) -> int:
        """The most that a call may cost, as bills have been until now."""
        return ceiling.nusd(self._rates)

    def reserve(self, ceiling: Ceiling) -> bool:
        """Set the most aside that a call may cost; False, and nothing, where that is not left, or
        too few bills are there yet."""
        limited = self._budget_nusd is not None and ceiling.completion_nusd > 0
        if limited and len(self._out) >= max(1, 2 * self._bills):
            return False
        if self.most_nusd(ceiling) > self.left_nusd:
            return False
        self._out.append(ceiling)
        self._reserved_nusd += self.most_nusd(ceiling)
        return True

    def settle(self, ceiling: Ceiling, due: Bill) -> None:
        """Put what a call cost in the place of what was reserved for it."""
        most = self._give_back(ceiling)
        if due.cost_nusd is None and due.billed is Billed.PERHAPS:
            self._perhaps_nusd += max(due.estimate_nusd, most)
            return
        self.book(due)

    def book(self, due: Bill) -> None:
        """Book a call for which nothing was reserved."""
        if due.cost_nusd is not None:
            self._known_nusd += due.cost_nusd
        elif due.billed is Billed.PERHAPS:
            self._perhaps_nusd += due.estimate_nusd
        else:
            self._known_nusd += due.estimate_nusd
        if due.rates is not None:
            self._bills += 1
            self._rates = self._rates.raised(due.rates)
            self._reserved_nusd = sum(map(self.most_nusd, self._out))

    def lose(self, ceiling: Ceiling) -> None:
        """Nobody knows what became of a call: it may have cost all that was reserved for it."""
        self._perhaps_nusd += self._give_back(ceiling)

    def learn(self, doubtful_nusd: int, cost_nusd: int) -> None:
        """What was perhaps spent is known now."""
        self._perhaps_nusd -= doubtful_nusd
        self._known_nusd += cost_nusd

    def _give_back(self, ceiling: Ceiling) -> int:
        self._out.remove(ceiling)
        most = self.most_nusd(ceiling)
        self._reserved_nusd -= most
        return most
