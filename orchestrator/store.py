"""A run's state in Redis: weights by version, solver state, cursor, metrics; one fenced writer.

An orchestrator owns a run while it renews the run's fence. A commit is one script: it checks the
fence and the version it started from, and writes everything or nothing.
"""

import base64
import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from orchestrator.rollouts import Ahead, DomainWeights, FloatArray, Params, StepReport, Weights
from shared.errors import EnvironmentNotReady, Fenced, RunFailed
from shared.keys import RunKeys

FENCE_TTL_S = 10
#: Versions of the weights that stay in Redis; the run directory has checkpoints of older ones.
VERSIONS_KEPT = 20
METRICS_KEPT = 1000


class Head(NamedTuple):
    """Where a run stands."""

    version: int
    next_step: int


class Store:
    """Reads and writes one run's state. A context manager: inside, this process owns the run."""

    def __init__(
        self, redis: Redis, run: str, alone: bool = False, brisk: Redis | None = None
    ) -> None:
        """``alone``: nobody else can reach this server, so that an old fence is a dead one's.

        ``brisk`` renews the fence and gives it up: a client that does not wait for the server, as
        what fails is tried again at the next renewal, and at the end expires.
        """
        self._alone = alone
        self.redis = redis
        self._run = run
        self._keys = RunKeys(run)
        self._token = json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
                "nonce": secrets.token_hex(8),
            }
        )
        self._commit = redis.register_script(_lua("commit"))
        self._renew = (brisk or redis).register_script(_lua("renew_fence"))
        self._closing = threading.Event()
        #: What the renewer found: "ours", "lost" or "wiped".
        self._fence = "ours"
        self._renewer = threading.Thread(target=self._renew_forever, name="fence", daemon=True)

    def __enter__(self) -> "Store":
        if self._alone:
            self.redis.delete(self._keys.fence)
        while not self.redis.set(self._keys.fence, self._token, nx=True, px=FENCE_TTL_S * 1000):
            self._await_silence()
        self._renewer.start()
        return self

    def _await_silence(self) -> None:
        """Wait until the fence expires; Fenced as soon as its owner is seen to renew it."""
        left, never_ends = max(FENCE_TTL_S * 1000, int(self.redis.pttl(self._keys.fence))), -1
        owner, end = self.redis.get(self._keys.fence), time.monotonic() + FENCE_TTL_S + 1
        while (now_left := int(self.redis.pttl(self._keys.fence))) > 0 or now_left == never_ends:
            if now_left > left or now_left == never_ends:
                raise Fenced(f"run {self._run} is owned by {self._owner()}; wait, or stop it")
            left = now_left
            if time.monotonic() > end and self.redis.get(self._keys.fence) == owner:
                # Not renewed for as long as it may live: the server's clock was put back.
                self.redis.delete(self._keys.fence)
            time.sleep(0.25)

    def _owner(self) -> str:
        text = str(self.redis.get(self._keys.fence))
        try:
            owner = json.loads(text)
            return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
        except (ValueError, LookupError, TypeError):
            return f"somebody who says no more than {text[:40]!r}"

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._renewer.join()
        # A fence that cannot be given up expires by itself.
        with contextlib.suppress(RedisError):
            self._renew(keys=[self._keys.fence, self._keys.head], args=[self._token, 0])

    def _renew_forever(self) -> None:
        while not self._closing.wait(FENCE_TTL_S / 4):
            # A server that is away is waited for; what it says afterwards counts.
            with contextlib.suppress(RedisError):
                self._fence = self._renew(
                    keys=[self._keys.fence, self._keys.head],
                    args=[self._token, FENCE_TTL_S * 1000],
                )

    def refuse_if_lost(self) -> None:
        """Stop before more is paid for a step that cannot be saved: no question to the server.

        Raises Fenced if another orchestrator took the run, EnvironmentNotReady if the server was
        wiped.
        """
        if self._fence == "lost":
            raise Fenced(f"another orchestrator has taken run {self._run}")
        if self._fence == "wiped":
            raise EnvironmentNotReady(
                f"Redis knows nothing of run {self._run} any more (was it wiped, or restarted"
                " without its append-only file?); resume: the run goes on from its checkpoint"
            )

    def head(self) -> Head | None:
        """Where the run stands; None if Redis does not know it. Raises RunFailed for garbage."""
        try:
            found = self.redis.hmget(self._keys.head, ["version", "next_step"])
            if found[0] is None or found[1] is None:
                return None
            return Head(int(found[0]), int(found[1]))
        except (ValueError, ResponseError) as error:
            raise RunFailed(f"Redis does not say where run {self._run} stands: {error}") from None

    def forget(self) -> None:
        """Remove what cannot be read, before a checkpoint takes its place."""
        self.redis.delete(self._keys.head, self._keys.weights)

    def next_step(self) -> int:
        """The first step that is still to be done; steps count from 1."""
        head = self.head()
        return head.next_step if head else 1

    def weights(self) -> Weights:
        """The newest weights. Raises RunFailed if Redis has none or they cannot be read."""
        head = self.head()
        try:
            text = head and self.redis.hget(self._keys.weights, str(head.version))
            if not text:
                raise RunFailed(f"Redis has no weights of run {self._run}")
            return decode_weights(json.loads(text))
        except (ValueError, ResponseError) as error:
            raise RunFailed(
                f"the weights of run {self._run} in Redis cannot be read: {error}"
            ) from None

    def describe(self, document: Mapping[str, Any]) -> None:
        """Keep ``policy.json`` beside the weights, so that they can be used from elsewhere."""
        self.redis.set(self._keys.policy, json.dumps(document))

    def description(self) -> Any:
        """What ``describe`` kept, as JSON values; None if there is none."""
        try:
            return json.loads(self.redis.get(self._keys.policy) or "null")
        except (ValueError, ResponseError) as error:
            raise RunFailed(f"Redis holds no policy of run {self._run}: {error}") from None

    def begin(self, weights: Weights, next_step: int) -> None:
        """Write the first weights of a run."""
        self._write(weights, next_step, expected=-1, report=None)

    def restore(self, weights: Weights, next_step: int) -> None:
        """Write the state of a checkpoint that is newer than what Redis has, or all there is."""
        head = self.head()
        self._write(weights, next_step, expected=head.version if head else -1, report=None)

    def commit(self, weights: Weights, step: int, report: StepReport) -> None:
        """Write the weights that follow ``step``. Raises Fenced if another writer was here."""
        self._write(weights, step + 1, expected=weights.version - 1, report=report)

    def _write(
        self, weights: Weights, next_step: int, expected: int, report: StepReport | None
    ) -> None:
        outcome = self._commit(
            keys=[self._keys.fence, self._keys.head, self._keys.weights, self._keys.metrics],
            args=[
                self._token,
                expected,
                weights.version,
                next_step,
                json.dumps(encode_weights(weights)),
                json.dumps(report.metrics) if report else "",
                VERSIONS_KEPT,
                METRICS_KEPT,
                FENCE_TTL_S * 1000,
                secrets.token_hex(8),
            ],
        )
        if outcome == "wiped":
            self._fence = outcome
            self.refuse_if_lost()
        if outcome != "ok":
            raise Fenced(f"run {self._run}: step not saved, {outcome}")


def encode_weights(weights: Weights) -> dict[str, Any]:
    """Weights as JSON values: params as numbers that read back exactly, solver state as base64."""
    return {
        "version": weights.version,
        "domains": {
            name: {
                "params": encode_params(domain.params),
                "reference": encode_params(domain.reference),
                "state": {key: _encode_array(array) for key, array in domain.state.items()},
            }
            for name, domain in weights.domains.items()
        },
        "spreads": dict(weights.spreads),
        "ahead": [
            {
                "step": ahead.step,
                "policy_version": ahead.policy_version,
                "groups": list(ahead.groups),
                "acted": {name: encode_params(params) for name, params in ahead.acted.items()},
            }
            for ahead in weights.ahead
        ],
    }


def decode_weights(data: Mapping[str, Any]) -> Weights:
    """The inverse of ``encode_weights``. Raises RunFailed for anything else."""
    try:
        return Weights(
            int(data["version"]),
            {
                name: DomainWeights(
                    decode_params(domain["params"]),
                    decode_params(domain["reference"]),
                    {key: _decode_array(*array) for key, array in domain["state"].items()},
                )
                for name, domain in data["domains"].items()
            },
            {str(name): float(spread) for name, spread in data["spreads"].items()},
            tuple(
                Ahead(
                    int(ahead["step"]),
                    int(ahead["policy_version"]),
                    tuple(map(str, ahead["groups"])),
                    {name: decode_params(params) for name, params in ahead["acted"].items()},
                )
                for ahead in data["ahead"]
            ),
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise RunFailed(
            f"the stored weights cannot be read: {type(error).__name__}: {error}"
        ) from None


def encode_params(params: Params) -> dict[str, list[float]]:
    """Params as numbers that read back exactly."""
    return {"theta": params.theta.tolist(), "phi": params.phi.tolist(), "eta": params.eta.tolist()}


def decode_params(data: Mapping[str, list[float]]) -> Params:
    """The inverse. Raises LookupError, TypeError, ValueError, ArithmeticError for anything else."""
    arrays = [np.asarray(data[name], dtype=np.float64) for name in ("theta", "phi", "eta")]
    if not all(array.ndim == 1 and np.isfinite(array).all() for array in arrays):
        raise ValueError("params are rows of finite numbers")
    return Params(*arrays)


def _encode_array(array: FloatArray) -> tuple[list[int], str]:
    exact = np.asarray(array, dtype="<f8")
    return list(exact.shape), base64.b64encode(exact.tobytes()).decode()


def _decode_array(shape: list[int], text: str) -> FloatArray:
    return np.frombuffer(base64.b64decode(text), dtype="<f8").reshape(shape).astype(np.float64)


def _lua(name: str) -> str:
    return files("orchestrator").joinpath(f"{name}.lua").read_text(encoding="utf-8")
