"""How both sides wait for Redis: what was paid for is not lost because the server is away.

A server that restarts, fails over, or refuses writes for want of memory or disk is asked again for
about a minute. Every command of ours may be sent twice: a script knows which call it is for.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry

Result = TypeVar("Result")

#: Waits of 0.05 s, doubling up to 2 s: about a minute in all.
RETRIES, FIRST_S, LONGEST_S = 32, 0.05, 2.0
#: First words of answers that a server gives while something passes.
PASSING = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "TRYAGAIN")


def passes(error: Exception) -> bool:
    """Whether the same command may succeed later."""
    if isinstance(error, ResponseError):
        refused = isinstance(error, OutOfMemoryError | ReadOnlyError)
        return refused or str(error).startswith(PASSING)
    return True


class _Patient(Retry):
    def call_with_retry(
        self, do: Callable[[], Result], fail: Callable[..., Any], *_: object, **more: Any
    ) -> Result:
        return super().call_with_retry(do, fail, **{**more, "is_retryable": passes})


class _AsyncPatient(AsyncRetry):
    async def call_with_retry(
        self, do: Callable[..., Any], fail: Callable[..., Any], *_: object, **more: Any
    ) -> Any:
        return await super().call_with_retry(do, fail, **{**more, "is_retryable": passes})


def patient() -> Retry:
    """For a client that waits."""
    errors = (ConnectionError, TimeoutError, OSError, ResponseError)
    return _Patient(ExponentialBackoff(cap=LONGEST_S, base=FIRST_S), RETRIES, errors)


def patient_async() -> AsyncRetry:
    """The same for an asyncio client."""
    errors = (ConnectionError, TimeoutError, ResponseError)
    return _AsyncPatient(ExponentialBackoff(cap=LONGEST_S, base=FIRST_S), RETRIES, errors)
