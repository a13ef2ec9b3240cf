"""From the name of a reward to its function, and from its parts to one number.

A reward function names what it wants among ``FIELDS``, the extra columns of the data and its own
options; ``**kwargs`` wants everything. It returns a finite real number, a built-in one in [0, 1].
"""

import difflib
import importlib
import inspect
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from shared.builtin_rewards import BUILTIN_REWARDS
from shared.errors import UsageError
from shared.messages import Completion, Failure, FailureKind, Reward, RewardTerm, ScoreJob
from shared.reward_numbers import reward_number
from shared.user_code import find_user_object, worker_code_dir

BUILTIN: dict[str, Callable[..., float]] = {
    name: getattr(importlib.import_module(place.partition(":")[0]), place.partition(":")[2])
    for name, place in BUILTIN_REWARDS.items()
}

#: What every reward function may name; ``judged`` is the mean score of the judges, if any.
FIELDS = frozenset(
    {"prompt", "completion", "reference", "terms", "quality", "finish_reason", "judged"}
)

_LONGEST_MESSAGE = 300
#: Seconds that the trials of a user's functions may take together: one that loads a model takes
#: longer, and is not known to be wrong.
_TRIAL_S = 5.0
# Texts of the kinds that rewards read, made up: prose, JSON, a number, a label.
_MADE_UP = (
    "A made-up answer. It has two sentences.",
    '{"answer": "made up", "score": 1}',
    "42",
    "yes",
)
# What user code may raise: SystemExit too, or a reward's sys.exit() would end the worker.
_RAISED = (Exception, SystemExit)


@dataclass(frozen=True)
class RewardFunction:
    """A resolved reward: the function and what its signature asks for. Made by ``resolve``."""

    name: str
    call: Callable[..., object]
    #: Parameters without a default.
    required: frozenset[str]
    #: All parameters, without ``*args`` and ``**kwargs``.
    accepted: frozenset[str]
    #: It has ``**kwargs``.
    takes_everything: bool

    @property
    def label(self) -> str:
        """The name in words: "pkg.mod:my_reward" -> "My reward"."""
        plain = self.name.rpartition(":")[2].replace("_", " ").strip()
        return plain[:1].upper() + plain[1:]

    def score(self, available: Mapping[str, Any]) -> float:
        """Call the function with those of the values it accepts.

        Raises what the function raises, TypeError or ValueError if it returns no finite real number
        (or, built in, one outside [0, 1]), and TypeError if a value it requires is not available.
        """
        chosen = {
            name: value
            for name, value in available.items()
            if self.takes_everything or name in self.accepted
        }
        number = reward_number(self.call(**chosen))
        if self.name in BUILTIN and not 0 <= number <= 1:
            raise ValueError(f"it returned {number!r}, which is not in [0, 1]")
        return number


@cache
def resolve(name: str) -> RewardFunction:
    """Find a reward by its built-in name, or as "module:function" (``shared.user_code``).

    The signature is inspected here and never again. Raises UsageError if there is no such reward,
    its module cannot be imported, or it is not a function that can be called by parameter names.
    """
    if ":" not in name and name not in BUILTIN:
        raise UsageError(
            f"unknown reward {name!r}{_did_you_mean(name, BUILTIN)}; built in are "
            f"{', '.join(sorted(BUILTIN))}; name your own as 'module:function'"
        )
    if ":" in name:
        function = find_user_object(name, f"reward {name!r}", worker_code_dir())
    else:
        function = BUILTIN[name]
    if not callable(function):
        raise UsageError(f"reward {name!r} is not callable: it is {function!r}")
    if any(map(inspect.iscoroutinefunction, (function, type(function).__call__))):
        raise UsageError(f"reward {name!r} is async: write it as a plain 'def' function")
    return _inspected(name, function)


def score(job: ScoreJob, completion: Completion, judged: float | None = None) -> Reward | Failure:
    """Score one completion by all terms of the job: ``sum(weight * part) / sum(weight)``.

    A term of weight 0 is computed and shown, and does not count. If any term cannot be resolved,
    raises, or returns something other than a finite real number, the reward is missing: a
    Failure of kind REWARD_ERROR that names the term. Raises UsageError if no term has a weight:
    ``check`` says so before a run starts.
    """
    total = math.fsum(term.weight for term in job.rewards)
    if total == 0:
        raise UsageError(_NO_WEIGHT)
    fields = {**_fields(job, completion), "judged": judged}
    try:
        rewards = {term.name: resolve(term.name) for term in job.rewards}
    except UsageError as error:
        return _failure(completion.slot, str(error))
    parts: dict[str, float | None] = dict.fromkeys(rewards)
    for term in job.rewards:
        # A column that happens to be called "window" must not change a built-in reward.
        columns = {} if term.name in BUILTIN else job.extra
        try:
            parts[term.name] = rewards[term.name].score({**columns, **term.options, **fields})
        except _RAISED as error:
            return _failure(completion.slot, f"reward {term.name!r} failed with {_words(error)}")
    known = {name: part for name, part in parts.items() if part is not None}
    assert len(known) == len(parts), "a term that was not computed has returned a Failure"
    mean = math.fsum(term.weight * known[term.name] for term in job.rewards) / total
    counted = [known[term.name] for term in job.rewards if term.weight > 0]
    return Reward(
        slot=completion.slot,
        # A mean rounds; it is never beyond its parts.
        value=min(max(counted), max(min(counted), mean)),
        parts=known,
        feedback=", ".join(f"{rewards[name].label}: {part:.2f}" for name, part in known.items()),
    )


def check(
    terms: Sequence[RewardTerm],
    columns: frozenset[str],
    sample: Mapping[str, Any] | None = None,
    self_report: bool = True,
) -> tuple[str, ...]:
    """Say in words what is wrong with the terms, given the data's extra columns; empty is fine.

    Every function is tried: a built-in one to test its options, a user's on made-up completions of
    several kinds, for ``sample``'s prompt, reference, terms and columns. One that gives a number
    for any of them is good: that it raises for another may be what it says of such a text. Without
    ``self_report`` no completion has a quality, and none of the user's may require one.
    """
    problems = []
    if not any(term.weight > 0 for term in terms):
        problems.append(_NO_WEIGHT)
    names = [term.name for term in terms]
    problems += [
        f"reward {name!r} is listed {names.count(name)} times: list it once"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    until = time.monotonic() + _TRIAL_S
    for term in terms:
        try:
            reward = resolve(term.name)
        except UsageError as error:
            problems.append(str(error))
        else:
            if not self_report and ":" in term.name and "quality" in reward.required:
                problems.append(
                    f"reward {term.name!r} asks for 'quality', and the model is not asked for an"
                    " estimate of it: set self_report = true, or give the parameter a default"
                )
            problems += _misfits(reward, term.options, columns) or _trial(
                reward, term.options, sample or {}, until
            )
    return tuple(problems)


_NO_WEIGHT = "no reward has a weight above 0: give at least one of them a weight"


def _inspected(name: str, function: Callable[..., object]) -> RewardFunction:
    """The function with what its signature says."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise UsageError(f"reward {name!r} has no readable signature: {error}") from error
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if any(p.kind is p.POSITIONAL_ONLY and p.default is p.empty for p in parameters):
        raise UsageError(
            f"reward {name!r} has positional-only parameters, but is called by parameter names: "
            "remove the '/'"
        )
    return RewardFunction(
        name=name,
        call=function,
        required=frozenset(p.name for p in named if p.default is p.empty),
        accepted=frozenset(p.name for p in named),
        takes_everything=any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


def _fields(job: ScoreJob, completion: Completion) -> dict[str, Any]:
    return {
        "prompt": job.prompt,
        "completion": completion.text,
        "reference": [*job.reference] if isinstance(job.reference, tuple) else job.reference,
        "terms": job.terms,
        "quality": completion.quality,
        "finish_reason": completion.finish_reason,
    }


def _misfits(
    reward: RewardFunction, options: Mapping[str, Any], columns: frozenset[str]
) -> list[str]:
    """Parameters that nothing fills, and options that no parameter takes."""
    problems = []
    for parameter in sorted(reward.required - FIELDS - columns - options.keys()):
        problems.append(
            f"reward {reward.name!r} asks for {parameter!r}, which is no field, data column or "
            f"option{_did_you_mean(parameter, FIELDS | columns)}; fields are "
            f"{', '.join(sorted(FIELDS))}; data columns are {', '.join(sorted(columns)) or 'none'}"
        )
    for option in sorted(options):
        free = reward.accepted - FIELDS
        if option in FIELDS:
            problems.append(
                f"reward {reward.name!r}: {option!r} is filled for every completion "
                "and cannot be an option"
            )
        elif not reward.takes_everything and option not in free:
            problems.append(
                f"reward {reward.name!r} has no option {option!r}{_did_you_mean(option, free)}; "
                f"its options are {', '.join(sorted(free)) or 'none'}"
            )
    return problems


def _trial(
    reward: RewardFunction, options: Mapping[str, Any], sample: Mapping[str, Any], until: float
) -> list[str]:
    """What becomes of made-up completions."""
    if reward.name in BUILTIN:
        try:
            reward.score({**options, "completion": "A trial.", "judged": 0.5})
        except _RAISED as error:
            return [f"reward {reward.name!r} refuses its options: {_words(error)}"]
        return []
    given = {
        "prompt": "A made-up prompt.",
        "reference": None,
        "terms": (),
        **sample,
        **options,
        "quality": 0.5,
        "finish_reason": "stop",
        "judged": 0.5,
    }
    if reward.required - given.keys() - {"completion"}:
        # A column that no made-up value can stand for.
        return []
    right = given["reference"]
    texts = (*([right] if isinstance(right, str) else right or ()), *_MADE_UP)
    outcomes = _tried(reward, [{**given, "completion": text} for text in texts], until)
    if outcomes is None or None in outcomes:
        return []
    told = ", ".join(dict.fromkeys(filter(None, outcomes)))
    return [
        f"reward {reward.name!r} gives no number for any of {len(texts)} made-up completions:"
        f" {_line(told)}; let it return a finite number, such as 0 for a text that it cannot read"
    ]


def _tried(
    reward: RewardFunction, given: Sequence[Mapping[str, Any]], until: float
) -> list[str | None] | None:
    """For each call the error in words, or None if it gives a number; None if they take longer."""
    outcomes: list[str | None] = []

    def run() -> None:
        for values in given:
            try:
                reward.score(values)
            except _RAISED as error:
                outcomes.append(_words(error))
            else:
                outcomes.append(None)
                return

    # A thread that is left alone: what blocks must not hold up the worker's answer.
    thread = threading.Thread(target=run, name="reward-trial", daemon=True)
    thread.start()
    thread.join(max(0.0, until - time.monotonic()))
    return None if thread.is_alive() else outcomes


def _did_you_mean(word: str, known: Collection[str]) -> str:
    """A hint that follows the word, or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _failure(slot: int, message: str) -> Failure:
    """A missing reward, its message short and fit for JSON."""
    return Failure(slot=slot, kind=FailureKind.REWARD_ERROR, message=_line(message))


def _line(message: str) -> str:
    line = " ".join(message.encode("utf-8", "replace").decode().split())
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
