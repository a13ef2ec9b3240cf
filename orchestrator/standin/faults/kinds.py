"""What a fault is: when it strikes, what it costs, and what is left of the answer."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator.standin.completions import Completion
from orchestrator.standin.wire import Reply

#: A success body on its way to becoming something else.
Body = dict[str, Any]


class Stage(StrEnum):
    """When a fault strikes."""

    #: No model was asked: an error with its own status.
    BEFORE = "before"
    #: A model was asked, and what it said is odd: status 200.
    ANSWER = "answer"
    #: The answer was fine and is damaged on its way.
    WIRE = "wire"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table. Only the functions of its stage are set."""

    name: str
    stage: Stage
    status: int
    #: In words, for people who list the faults.
    says: str
    #: Whether the tokens are paid for.
    billed: bool = False
    #: Whether the response cache keeps the answer, if the request asked for it.
    stored: bool = False
    #: Whether a person must do something before the run can go on.
    stops: bool = False
    #: Whether a mixture of all kinds contains it.
    mixed: bool = True
    #: Not a name of the contract's two tables.
    extra: bool = False
    #: Whether the error comes only after the time an answer takes.
    late: bool = False
    #: What the model says instead; before the bill is made out.
    changes: Callable[[Completion], Completion] | None = None
    #: What the body looks like instead.
    shapes: Callable[[Body], Body] | None = None
    #: What the wire makes of it.
    delivers: Callable[[Reply], Reply] | None = None
