"""Rewards as a user would write them, good and bad ones."""

import json
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np


def short_answer(completion: str, limit: int = 5) -> float:
    return float(len(completion.split()) <= limit)


def my_reward(completion: str) -> float:
    return 0.25


def graded(difficulty: float) -> float:
    """Asks for a column or an option that every data line must have."""
    return difficulty


def everything(**given: object) -> float:
    wanted = {"prompt", "completion", "reference", "terms", "quality", "finish_reason", "judged"}
    return float(given.keys() == wanted | {"level", "strictness"})


def finished(finish_reason: str | None) -> float:
    return float(finish_reason == "stop")


def sure(quality: float) -> float:
    return quality


def perhaps_sure(quality: float | None = None) -> float:
    return quality or 0.0


def windowed(window: int = 0) -> float:
    return float(window == 7)


def third() -> Fraction:
    return Fraction(1, 3)


def numpy_half() -> np.float32:
    return np.float32(0.5)


def raises() -> float:
    raise ZeroDivisionError("nothing to divide")


def raises_at_length() -> float:
    raise ValueError("very " * 200 + "long")


def raises_surrogates() -> float:
    raise ValueError("broken \ud800 text\non two lines")


def leaves() -> float:
    sys.exit("enough")


def too_much() -> float:
    return 1.5


def json_score(completion: str) -> float:
    """Raises for what is no JSON object with a score."""
    return float(json.loads(completion)["score"])


def a_count(completion: str) -> int:
    """Raises for what is no number."""
    return int(completion)


def same_as_reference(completion: str, reference: str) -> bool:
    """Raises for any other text."""
    if completion != reference:
        raise ValueError("another text")
    return True


def not_a_number() -> float:
    return float("nan")


def endless() -> float:
    return float("inf")


def truth() -> bool:
    return True


def nothing() -> None:
    return None


def word() -> str:
    return "0.5"


async def asynchronous(completion: str) -> float:
    return 0.5


class _AsynchronousCall:
    async def __call__(self, completion: str) -> float:
        return 0.5


class _Configured:
    def __call__(self, completion: str) -> float:
        return 0.75


def positional(completion: str, /) -> float:
    return 0.5


asynchronous_object = _AsynchronousCall()
configured: Callable[..., float] = _Configured()
lenient = partial(short_answer, limit=1000)
a_number = 3


def any_of(completion: str, reference: str | list[str]) -> float:
    answers = reference if isinstance(reference, list) else [reference]
    return float(any(answer in completion for answer in answers))
