"""Every Redis key of ours, built in one place.

All keys of a run share the hash tag ``{run}``, so that a script may touch several of them on a
Redis Cluster, and so that ``cgrpo:{run}*`` is all there is of a run.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Role = Literal["generate", "score"]

#: Sorted set: the ``WorkerCard`` of each worker, by the server's time of its last heartbeat.
WORKERS = "cgrpo:workers"

#: List: the newest entries of the queues that were no task, as they were.
UNREADABLE = "cgrpo:unreadable"

#: Pattern of the lease keys of all runs.
ALL_LEASES = "cgrpo:*:lease:*"

#: Pattern of the lines in which calls wait for the governor, and how long a word to them lives.
ALL_LINES, WORD_TTL_MS = "cgrpo:governor:*:line", 10_000

#: Holder of the lease of a group whose step is over: nobody begins it, and no call for it leaves.
CLOSED = "closed"

#: Seconds after its last heartbeat that a worker counts as alive.
WORKER_TTL_S = 8
#: Seconds that a group's lease outlives its last renewal.
LEASE_TTL_S = 6
#: The longest that a worker may ask for; ``begin.lua`` names it too.
LONGEST_LEASE_S = 600
#: Seconds between renewals of cards and leases.
HEARTBEAT_S = 1.5
#: Seconds that a job and its slots outlive their last write, if nothing removes them before.
JOB_TTL_S = 7 * 24 * 3600


@dataclass(frozen=True)
class RunKeys:
    """The keys of one run."""

    run: str

    # Every call of a model names a dozen of them.
    @lru_cache(maxsize=4096)  # noqa: B019 (a key is two words)
    def _key(self, *parts: object) -> str:
        return ":".join(["cgrpo", "{" + self.run + "}", *(str(part) for part in parts)])

    def job(self, step: int, group: str, role: Role) -> str:
        """String: the ``GenerateJob`` or ``ScoreJob`` of a group."""
        return self._key("job", step, group, role)

    def slots(self, step: int, group: str) -> str:
        """Hash: ``generate:<slot>`` and ``score:<slot>`` -> the slot's result; ``judge…:<slot>`` ->
        what a judge answered."""
        return self._key("slots", step, group)

    @property
    def all_slots(self) -> str:
        """Pattern of the slots of all groups."""
        return self._key("slots") + ":*"

    def lease(self, step: int, group: str, role: Role) -> str:
        """String, expires: the worker that has the group in hand."""
        return self._key("lease", step, group, role)

    @property
    def everything(self) -> str:
        """Pattern of all keys of the run."""
        return self._key() + "*"

    @property
    def events(self) -> str:
        """Stream: one entry per finished slot, in the order of finishing."""
        return self._key("events")

    @property
    def fence(self) -> str:
        """String, expires: the orchestrator that owns the run."""
        return self._key("fence")

    @property
    def head(self) -> str:
        """Hash: version and next step of the run."""
        return self._key("head")

    @property
    def weights(self) -> str:
        """Hash: version -> weights, the last few versions."""
        return self._key("weights")

    @property
    def policy(self) -> str:
        """String: ``policy.json`` as the run had it when it was started or resumed. Its content is
        that of every version; its logits are not."""
        return self._key("policy")

    @property
    def faults(self) -> str:
        """Hash: name of a fault -> how many calls met it, repeated ones included."""
        return self._key("faults")

    @property
    def metrics(self) -> str:
        """Stream: one entry per step, the last thousand."""
        return self._key("metrics")

    @property
    def money(self) -> str:
        """Hash: what the run cost, in 1e-9 USD, per role (generate, judge, eval).

        ``spent:<role>`` is known, ``estimated:<role>`` stands in for costs that were not told,
        ``perhaps:<role>`` belongs to calls that broke and may have been charged, and
        ``reserved:<role>`` to calls that are out (or, if none is, to workers that died). Counts:
        ``calls:<role>``, and of those ``unknown:<role>`` whose cost is estimated or doubtful.
        """
        return self._key("money")

    @property
    def stop(self) -> str:
        """String: why the run makes no more calls, ``{"kind": ..., "sentence": ...}``.

        Set by a worker, once; removed by the orchestrator when the run is resumed.
        """
        return self._key("stop")


@dataclass(frozen=True)
class CallKeys:
    """The governor's keys of one account that both sides read. An account is an endpoint and key,
    named by a short id that is no secret."""

    account: str

    @lru_cache(maxsize=1024)  # noqa: B019
    def _key(self, *parts: str) -> str:
        return ":".join(["cgrpo", "governor", self.account, *parts])

    @property
    def permits(self) -> str:
        """Sorted set: calls in flight, by the time (us) when their worker counts as dead."""
        return self._key("permits")

    @property
    def pause(self) -> str:
        """String, expires: until when (us) no call leaves, and over how long it then opens."""
        return self._key("pause")

    def model_pause(self, model: str) -> str:
        """String, expires: the same for the calls of a model."""
        return self._key("pause", model)


def account_of(base_url: str) -> str:
    """The id of the account that an endpoint's calls count under."""
    return hashlib.blake2b(base_url.encode(), digest_size=4).hexdigest()


def slot_field(role: Role, slot: int) -> str:
    """The field of a slot's result in the hash of its group."""
    return f"{role}:{slot}"
