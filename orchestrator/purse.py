"""The money of calls that one process makes by itself: a cap that holds, and what was spent.

A run's money is the fleet's, and lies in Redis (``budget``).
"""

from collections import Counter, defaultdict
from typing import NamedTuple

from shared.wire.money import NANO, USUAL, Bill, Ceiling, Rates
from shared.wire.verdicts import Billed


class Spent(NamedTuple):
    """What calls have cost so far, in USD."""

    #: Named by the endpoint, or estimated where it named nothing.
    known_usd: float
    #: Of calls whose answer never came whole: the most that they may have cost.
    perhaps_usd: float


class Purse:
    """Money is reserved before a call leaves, and settled when it has ended.

    What a model bills is known from its bills alone: under a budget the first call to it goes
    alone, no more are out than twice as many as it billed, and each of its bills that is dearer
    than those before raises what is reserved. Where there are several models, they have names.
    """

    def __init__(self, budget_usd: float | None) -> None:
        self._budget_nusd = None if budget_usd is None else round(budget_usd * NANO)
        self._known_nusd = self._perhaps_nusd = self._reserved_nusd = 0
        self._out: list[tuple[str, Ceiling]] = []
        self._rates: defaultdict[str, Rates] = defaultdict(lambda: USUAL)
        self._bills: Counter[str] = Counter()

    @property
    def spent(self) -> Spent:
        """Of all calls that have ended."""
        return Spent(self._known_nusd / NANO, self._perhaps_nusd / NANO)

    @property
    def unspent_nusd(self) -> float:
        """What no call that has ended took, or may have taken."""
        if self._budget_nusd is None:
            return float("inf")
        return self._budget_nusd - self._known_nusd - self._perhaps_nusd

    @property
    def left_nusd(self) -> float:
        """What may still be reserved."""
        return self.unspent_nusd - self._reserved_nusd

    @property
    def pending(self) -> bool:
        """Whether calls are out, of whose reserved money some may come back."""
        return bool(self._out)

    def most_nusd(self, ceiling: Ceiling, model: str = "") -> int:
        """The most that a call may cost, as bills have been until now."""
        return ceiling.nusd(self._rates.get(model, USUAL))

    def reserve(self, ceiling: Ceiling, model: str = "") -> bool:
        """Set the most aside that a call may cost; False, and nothing, where that is not left, or
        too few bills are there yet."""
        limited = self._budget_nusd is not None and ceiling.completion_nusd > 0
        out = sum(name == model for name, _ in self._out)
        if limited and out >= max(1, 2 * self._bills[model]):
            return False
        if self.most_nusd(ceiling, model) > self.left_nusd:
            return False
        self._out.append((model, ceiling))
        self._reserved_nusd += self.most_nusd(ceiling, model)
        return True

    def settle(self, ceiling: Ceiling, due: Bill, model: str = "") -> None:
        """Put what a call cost in the place of what was reserved for it."""
        most = self._give_back(ceiling, model)
        if due.cost_nusd is None and due.billed is Billed.PERHAPS:
            due = due._replace(estimate_nusd=max(due.estimate_nusd, most))
        self.book(due, model)

    def book(self, due: Bill, model: str = "") -> None:
        """Book a call for which nothing was reserved."""
        if due.cost_nusd is not None:
            self._known_nusd += due.cost_nusd
        elif due.billed is Billed.PERHAPS:
            self._perhaps_nusd += due.estimate_nusd
        else:
            self._known_nusd += due.estimate_nusd
        if due.rates is not None:
            self._bills[model] += 1
            self._rates[model] = self._rates[model].raised(due.rates)
            self._reserved_nusd = sum(self.most_nusd(most, name) for name, most in self._out)

    def lose(self, ceiling: Ceiling, model: str = "") -> None:
        """Nobody knows what became of a call: it may have cost all that was reserved for it."""
        self._perhaps_nusd += self._give_back(ceiling, model)

    def learn(self, doubtful_nusd: int, cost_nusd: int) -> None:
        """What was perhaps spent is known now."""
        self._perhaps_nusd -= doubtful_nusd
        self._known_nusd += cost_nusd

    def _give_back(self, ceiling: Ceiling, model: str) -> int:
        self._out.remove((model, ceiling))
        most = self.most_nusd(ceiling, model)
        self._reserved_nusd -= most
        return most
