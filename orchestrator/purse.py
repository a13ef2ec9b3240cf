"""The money of calls that one process makes by itself: a cap that holds, and what was spent.

A run's money is the fleet's, and lies in Redis (``budget``).
"""

from typing import NamedTuple

from shared.wire.money import NANO, Bill
from shared.wire.verdicts import Billed


class Spent(NamedTuple):
    """What calls have cost so far, in USD."""

    #: Named by the endpoint, or estimated where it named nothing.
    known_usd: float
    #: Of calls whose answer never came whole: the most that they may have cost.
    perhaps_usd: float


class Purse:
    """Money is reserved before a call leaves, and settled when it has ended."""

    def __init__(self, budget_usd: float | None) -> None:
        self._budget_nusd = None if budget_usd is None else round(budget_usd * NANO)
        self._known_nusd = self._perhaps_nusd = self._reserved_nusd = 0

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
        return self._reserved_nusd > 0

    def reserve(self, ceiling_nusd: int) -> bool:
        """Set the most aside that a call may cost; False, and nothing, where that is not left."""
        if ceiling_nusd > self.left_nusd:
            return False
        self._reserved_nusd += ceiling_nusd
        return True

    def settle(self, ceiling_nusd: int, due: Bill) -> None:
        """Put what a call cost in the place of what was reserved for it."""
        self._reserved_nusd -= ceiling_nusd
        if due.cost_nusd is not None:
            self._known_nusd += due.cost_nusd
        elif due.billed is Billed.PERHAPS:
            self._perhaps_nusd += due.estimate_nusd
        else:
            self._known_nusd += due.estimate_nusd

    def lose(self, ceiling_nusd: int) -> None:
        """Nobody knows what became of a call: it may have cost all that was reserved for it."""
        self._reserved_nusd -= ceiling_nusd
        self._perhaps_nusd += ceiling_nusd

    def learn(self, doubtful_nusd: int, cost_nusd: int) -> None:
        """What was perhaps spent is known now."""
        self._perhaps_nusd -= doubtful_nusd
        self._known_nusd += cost_nusd
