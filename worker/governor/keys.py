"""The governor's own Redis keys. What the orchestrator reads too is in ``shared.keys``.

Keys of the account are shared by every run and worker that uses it, keys of a run carry the run's
hash tag like all its other keys. A script touches both kinds, so the governor needs one server
(with replicas if you like), not a Redis Cluster; neither does Celery's transport work on one.
"""

from dataclasses import dataclass
from functools import lru_cache

from shared.keys import CallKeys, RunKeys


@dataclass(frozen=True)
class AccountKeys(CallKeys):
    """The keys of one account."""

    @property
    def requests(self) -> str:
        """String, expires: when the requests admitted so far are paid off, in microseconds."""
        return self._key("rpm")

    @property
    def tokens(self) -> str:
        """String, expires: the same for tokens."""
        return self._key("tpm")

    @property
    def line(self) -> str:
        """Hash: mailbox of a waiting head -> its place and what it waits for."""
        return self._key("line")

    @property
    def places(self) -> str:
        """Counter: the places given out in the line."""
        return self._key("places")

    def model_permits(self, model: str) -> str:
        """Sorted set: those of ``permits`` that ask this model."""
        return self._key("permits", model)

    def adaptive(self, model: str) -> str:
        """Hash, expires: how many calls at once this model has been found to bear."""
        return self._key("adaptive", model)

    def mailbox(self, owner: str, number: int) -> str:
        """List, expires: wakes the head of one line of one process."""
        return self._key("mailbox", owner, str(number))

    @lru_cache(maxsize=64)  # noqa: B019 (one account a process)
    def of_call(self, run: str, model: str) -> tuple[str, ...]:
        """What every script about calls gets first, in the order that the Lua files name."""
        return (*LedgerKeys(run).books, self.line, self.permits, self.model_permits(model))


@dataclass(frozen=True)
class LedgerKeys:
    """The keys of one run that only the governor reads."""

    run: str

    @lru_cache(maxsize=256)  # noqa: B019
    def _key(self, *parts: str) -> str:
        return ":".join(["cgrpo", "{" + self.run + "}", "governor", *parts])

    @property
    def expiries(self) -> str:
        """Sorted set: calls with a reservation, by the time their worker counts as dead."""
        return self._key("expiries")

    @property
    def reservations(self) -> str:
        """Hash: call -> what was reserved for it and how it left."""
        return self._key("reservations")

    @property
    def doubts(self) -> str:
        """Hash: role and call -> what it perhaps cost."""
        return self._key("doubts")

    @property
    def verdicts(self) -> str:
        """List: the last answers as the circuit breaker sees them."""
        return self._key("verdicts")

    @property
    def tripped(self) -> str:
        """String, expires: the circuit breaker has spoken."""
        return self._key("tripped")

    def rates(self, model: str) -> str:
        """Hash, expires: what this model's bills to the run were, against what is usual."""
        return self._key("rates", model)

    @property
    def books(self) -> list[str]:
        """What every script about money gets first, in the order that the Lua files name."""
        return [RunKeys(self.run).money, self.expiries, self.reservations, self.doubts]
