"""One model asked directly, without engine or queue: the workers' bodies, client and verdicts.

Owns what a fleet's governor does for a run, for one process: calls at the same time, waits that the
endpoint asks for, repeated calls.
"""

import asyncio
import contextlib
import json
import math
import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Self

from orchestrator.config_files import resolve
from orchestrator.preflight import Models, preflight
from orchestrator.purse import Purse, Spent
from orchestrator.questions import Came
from shared.errors import EnvironmentNotReady, RunFailed
from shared.messages import ChatMessage, FailureKind, Sampling
from shared.settings import openrouter_api_key, openrouter_base_url
from shared.wire.client import ChatClient
from shared.wire.faults import outside_runs
from shared.wire.money import NANO, Bill, Ceiling, bill, ceiling, cost_usd
from shared.wire.replies import GENERATED
from shared.wire.requests import chat_body
from shared.wire.verdicts import Answer, Billed, Classified, Scope, Verdict
from shared.wire.waits import backoff_s

#: What OpenRouter's books show beside a call, in place of a run's name.
TRACE = "generate"
BUDGET = "budget"
#: Seconds in which nobody asks again whether the key is good, or the credit back.
STOP_HOLDS_S = 30.0


class NoAnswer(RunFailed):
    """The model gave no text: its calls failed, or it may not be asked."""

    def __init__(self, kind: str, sentence: str, cost_usd: float | None) -> None:
        """``kind`` is a ``shared.messages.FailureKind`` or "budget"; ``cost_usd`` is what the calls
        cost all the same, None where that is not known."""
        super().__init__(kind, sentence, cost_usd)
        self.kind = kind
        self.sentence = sentence
        self.cost_usd = cost_usd

    def __str__(self) -> str:
        return self.sentence


class Answered(NamedTuple):
    """A model's answer, and what it took."""

    answer: Answer
    #: All attempts included; None: not all of it is known.
    cost_usd: float | None
    attempts: int


class _Attempt(NamedTuple):
    """A call that has ended."""

    found: Classified
    due: Bill
    #: None: not known.
    cost_usd: float | None


def models_for(model: str, **settings: Any) -> Models:
    """How ``model`` is asked, by the endpoint's own list; kept for the life of the process.

    ``settings`` are those of a run's config, None for its default. Raises UsageError for a setting
    or a model that is none, EnvironmentNotReady if the endpoint does not answer or refuses the key.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    return _models_for(openrouter_base_url(), json.dumps({"model": model, **given}))


class Asker:
    """Asks one model, on one event loop. Close it, with ``aclose`` or ``async with``."""

    def __init__(
        self,
        sampling: Sampling,
        max_inflight: int = 64,
        budget_usd: float | None = None,
        questions: Sequence[Came] = (),
    ) -> None:
        """``budget_usd``: no call leaves that could cost more than what is left of it, what
        ``questions`` have cost before included."""
        self._sampling = sampling
        self._client = ChatClient(openrouter_base_url(), openrouter_api_key())
        self._permits = asyncio.Semaphore(max_inflight)
        self._purse = Purse(budget_usd)
        for came in questions:
            self._purse.book(came.due)
        #: Set, and another put in its place, when a call has been paid for.
        self._settled = asyncio.Event()
        #: When the next call may leave, on the loop's clock.
        self._paused_until = 0.0
        #: Why none may leave, and until when that is believed without asking again.
        self._stop, self._stopped_until = "", 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    @property
    def model(self) -> str:
        """The slug that is asked for."""
        return self._sampling.model

    @property
    def max_tokens(self) -> int:
        """Tokens that an answer may have."""
        return self._sampling.max_tokens

    @property
    def spent(self) -> Spent:
        """What all calls that have ended cost."""
        return self._purse.spent

    async def ask(self, messages: Sequence[ChatMessage], seed: int | None = None) -> Answered:
        """The model's answer to the messages, in the format that ``sampling`` says.

        Raises NoAnswer without one, EnvironmentNotReady where a person must do something first: the
        key was refused, or the credit is used up.
        """
        # The name is each answer's own: OpenRouter's cache repeats an answer to the same bytes.
        body = chat_body(
            messages,
            self._sampling,
            rollout=f"{TRACE}/{uuid.uuid4()}",
            run=TRACE,
            seed=seed,
            schema=GENERATED if self._sampling.self_report else None,
            openrouter=self._sampling.dialect == "openrouter",
        )
        async with self._permits:
            return await self._answered(body)

    async def _answered(self, body: bytes) -> Answered:
        loop = asyncio.get_running_loop()
        deadline, not_before = loop.time() + self._sampling.slot_timeout_s, 0.0
        attempts: list[_Attempt] = []
        for number in range(1, self._sampling.max_attempts + 1):
            await self._wait(not_before, deadline, attempts)
            attempts.append(await self._call(body, deadline - loop.time(), attempts))
            found = attempts[-1].found
            if found.verdict is Verdict.COMPLETION and found.answer is not None:
                return await self._paid(found.answer, attempts)
            if found.verdict is Verdict.STOP:
                self._stop = outside_runs(found.message)
                self._stopped_until = loop.time() + STOP_HOLDS_S
                raise EnvironmentNotReady(self._stop)
            if found.verdict is Verdict.REJECT:
                raise NoAnswer(found.kind.value, found.message, _cost_usd(attempts))
            not_before = loop.time() + max(found.wait_s or 0.0, backoff_s(number))
            if found.scope is not Scope.REQUEST:
                self._paused_until = max(self._paused_until, not_before)
        raise _given_up(attempts)

    async def _wait(self, not_before: float, deadline: float, attempts: Sequence[_Attempt]) -> None:
        """Wait for this call's turn, and as long as the endpoint asks everybody to.

        Raises NoAnswer if there is no time for that, EnvironmentNotReady if no call may leave.
        """
        loop = asyncio.get_running_loop()
        while (until := max(not_before, self._paused_until)) > (now := loop.time()):
            if now < self._stopped_until:
                break
            if until >= deadline:
                raise _given_up(attempts)
            await asyncio.sleep(until - now)
        if loop.time() < self._stopped_until:
            raise EnvironmentNotReady(self._stop)

    async def _call(self, body: bytes, left_s: float, attempts: Sequence[_Attempt]) -> _Attempt:
        """One attempt, paid for."""
        most = ceiling(body, self._sampling)
        await self._reserve(most, left_s, attempts)
        seconds = max(0.01, min(self._sampling.request_timeout_s, left_s))
        fresh = bool(attempts) and not attempts[-1].found.replay
        try:
            found = await self._client.post_chat(body, seconds, fresh=fresh)
            if self._sampling.dialect == "openrouter":
                found = await self._client.priced(found)
        except BaseException:
            # Cancelled on the way: it may have been billed.
            self._purse.lose(most)
            self._tell_settled()
            raise
        due = bill(found, body, self._sampling)
        self._purse.settle(most, due)
        self._tell_settled()
        return _Attempt(found, due, cost_usd(found, self._sampling))

    async def _reserve(self, most: Ceiling, left_s: float, attempts: Sequence[_Attempt]) -> None:
        """Set the call's money aside, as soon as calls that are out bring enough of theirs back.

        Raises NoAnswer if they do not, or not in time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                while not self._purse.reserve(most):
                    if not self._purse.pending:
                        break
                    await self._settled.wait()
                else:
                    return
        raise NoAnswer(
            BUDGET,
            f"${max(0, self._purse.left_nusd) / NANO:.6f} of the budget is left, and one call may"
            f" cost ${self._purse.most_nusd(most) / NANO:.6f};"
            " raise the budget or lower max_tokens",
            _cost_usd(attempts),
        )

    def _tell_settled(self) -> None:
        self._settled.set()
        self._settled = asyncio.Event()

    async def _paid(self, answer: Answer, attempts: list[_Attempt]) -> Answered:
        """The answer with its cost. What the response cache repeats was paid by an earlier attempt
        whose answer got lost: its price is known now, and the others were free."""
        cost = _cost_usd(attempts)
        if answer.cache_hit and answer.source_id:
            repeated = await self._client.generation_cost(answer.source_id)
            if repeated is not None:
                lost = [a.due for a in attempts if a.due.billed is Billed.PERHAPS]
                doubtful = sum(due.estimate_nusd for due in lost if due.cost_nusd is None)
                self._purse.learn(doubtful, round(repeated * NANO))
                cost = math.fsum([repeated, *(a.cost_usd or 0.0 for a in attempts)])
        return Answered(answer, cost, len(attempts))


def asker_of_loop(sampling: Sampling) -> Asker:
    """The running loop's asker of a model: its callers share connections, waits and permits."""
    for loop in list(_askers):
        if loop.is_closed():
            del _askers[loop]
    askers = _askers.setdefault(asyncio.get_running_loop(), {})
    account = (openrouter_base_url(), openrouter_api_key(), sampling.model_dump_json())
    if account not in askers:
        askers[account] = Asker(sampling)
    return askers[account]


_askers: dict[asyncio.AbstractEventLoop, dict[tuple[str | None, ...], Asker]] = {}


@lru_cache(maxsize=64)
def _models_for(url: str, settings: str) -> Models:
    values = json.loads(settings)
    config = resolve([], [(key, key, value) for key, value in values.items()]).config
    return preflight(config, ask=True)


def _cost_usd(attempts: Sequence[_Attempt]) -> float | None:
    """Of all attempts; None if one is not known."""
    costs = [attempt.cost_usd for attempt in attempts]
    known = [cost for cost in costs if cost is not None]
    return math.fsum(known) if len(known) == len(costs) else None


def _given_up(attempts: Sequence[_Attempt]) -> NoAnswer:
    if not attempts:
        sentence = "the endpoint asks everybody to wait for longer than this call may take"
        return NoAnswer(FailureKind.RATE_LIMITED.value, sentence, 0.0)
    last = attempts[-1].found
    tried = "1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts"
    sentence = f"given up after {tried}: {outside_runs(last.message)}"
    return NoAnswer(last.kind.value, sentence, _cost_usd(attempts))
