"""What is said to the governor and what it says: tickets, settlements, stops."""

from typing import Literal, NamedTuple

from shared.wire.money import Ceiling, Rates

#: What money is booked under.
MoneyRole = Literal["generate", "judge", "eval"]
#: What a pause holds back: the calls to one model, or every call of the account.
Scope = Literal["model", "account"]


class Ticket(NamedTuple):
    """One call that wants to leave. Each attempt at a call has a ticket of its own."""

    #: Unique id: ``run/s003/e017/k2/generate/attempt``.
    call: str
    run: str
    model: str
    role: MoneyRole
    #: Prompt and ``max_tokens`` together, as estimated: what ``max_tpm`` counts until it is known.
    tokens: int
    #: The most it can cost, in 1e-9 USD, reserved before it leaves; 0 if the price is unknown.
    ceiling_nusd: int
    #: Seconds after which permit and reservation belong to a dead worker. Longer than a call lasts.
    lifetime_s: float
    #: The lease of the group that the call belongs to, and who must hold it when the call leaves.
    lease: str = ""
    holder: str = ""
    #: The parts of that most, by which bills raise it; nothing = it stays as it is.
    ceiling: Ceiling = Ceiling()


class Settlement(NamedTuple):
    """How an admitted call ended. Made by the client's classifier."""

    #: What it cost in 1e-9 USD; None (or a negative number) is unknown, never free.
    cost_nusd: int | None
    #: What stands in for an unknown cost, in 1e-9 USD.
    estimate_nusd: int
    #: Whether an unknown cost was charged. A known cost counts whatever this says.
    billed: Literal["no", "yes", "perhaps"]
    #: Tokens used, prompt and completion; None is unknown, and the estimate stays.
    tokens: int | None
    #: The other side has too much of us at once: 429, 402 in flight, 529.
    throttled: bool
    #: For the circuit breaker: None is a good answer, a name is a reject of that name, and ``""``
    #: is a retry, which says nothing about the request.
    fault: str | None
    #: What the bill says of the model's bills to come; None = nothing.
    rates: Rates | None = None


class Stop(NamedTuple):
    """Why a run makes no more calls, and what a person must do about it."""

    kind: str
    sentence: str


class Stopped(Exception):
    """The run has a stop: it makes no more calls until the orchestrator takes the stop away."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(kind, sentence)
        self.stop = Stop(kind, sentence)

    def __str__(self) -> str:
        return self.stop.sentence


class Withdrawn(Exception):
    """The call is not made here: its group is in other hands, or this worker stops."""


class OutOfTime(Exception):
    """The deadline passed before the call could leave; nothing was reserved and nothing sent."""

    def __init__(self, message: str = "the deadline passed before the call could leave") -> None:
        super().__init__(message)
