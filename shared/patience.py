"""How both sides wait for Redis: what was paid for is not lost because the server is away.

A server that restarts, fails over, or refuses writes for want of memory or disk is asked again for
about a minute. Every command of ours may be sent twice: a script knows which call it is for.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from redis.retry import Retry

from shared.redis_address import refusal

Result = TypeVar("Result")

#: Waits of 0.05 s, doubling up to 2 s: about a minute in all.
RETRIES, FIRST_S, LONGEST_S = 32, 0.05, 2.0
#: Answers that a server gives while something passes: those that redis-py has a class for, and
#: the first words of the others.
PASSING = (OutOfMemoryError, ReadOnlyError, ClusterDownError, MasterDownError, TryAgainError)
PASSING_WORDS = ("BUSY ", "MISCONF", "NOREPLICAS", "UNBLOCKED")


def passes(error: Exception) -> bool:
    """Whether the same command may succeed later."""
    if isinstance(error, ResponseError):
        return isinstance(error, PASSING) or refusal(error).startswith(PASSING_WORDS)
    return not isinstance(error, AuthenticationError)


def refused_for_good(error: ResponseError) -> str:
    """The sentence that a run ends with after an answer that does not pass."""
    return (
        f"Redis refuses what a run needs, and waiting does not help: {refusal(error)}; if a key is"
        " of a wrong type, remove it (all of ours begin with cgrpo:) or use another database"
    )


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
