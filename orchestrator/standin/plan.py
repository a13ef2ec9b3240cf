"""Which request meets which fault: as ordered, or by seeded chance."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.standin.draws import Draws
from orchestrator.standin.faults import FAULTS, MIXED, Fault

#: Names for many at once: what a run is to survive by itself, and everything.
GROUPS: Mapping[str, tuple[str, ...]] = {"mixed": MIXED, "all": tuple(sorted(FAULTS))}


def _known(name: str) -> str:
    if name not in FAULTS:
        raise ValueError(f"no fault is called {name!r}")
    return name


def _known_or_group(name: str) -> str:
    return name if name in GROUPS else _known(name)


FaultName = Annotated[str, AfterValidator(_known)]
Rate = Annotated[float, Field(ge=0, le=1)]


class Match(BaseModel):
    """A fault for the requests that fit. Made by whoever controls, read by the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: FaultName
    #: Parts of the model's name and of the body; empty fits all.
    model: str = ""
    body: str = ""
    #: So often; None: always.
    times: Annotated[int, Field(ge=1)] | None = 1


class Orders(BaseModel):
    """What ``POST /_control/faults`` takes. Made by whoever controls, read by the plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Forget everything first.
    clear: bool = False
    #: For the next requests, in the order in which they arrive; null: that one is spared.
    script: tuple[FaultName | None, ...] = ()
    matches: tuple[Match, ...] = ()
    #: Chance per generation, instead of the rates so far; "mixed" and "all" are shared out.
    rates: dict[Annotated[str, AfterValidator(_known_or_group)], Rate] | None = None


class Ordered(NamedTuple):
    """What was ordered for a request."""

    #: Whether chance has no say any more.
    decided: bool
    fault: Fault | None


@dataclass(slots=True)
class Plan:
    """The faults to come."""

    script: deque[str | None] = field(default_factory=deque)
    matches: list[Match] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)

    def take(self, orders: Orders) -> None:
        """Follow new orders. Raises ValueError if the rates add up to more than 1."""
        rates = None if orders.rates is None else spread(orders.rates)
        if orders.clear:
            self.script.clear()
            self.matches.clear()
            self.rates = {}
        self.script.extend(orders.script)
        self.matches.extend(orders.matches)
        if rates is not None:
            self.rates = rates

    def ordered(self, model: str, body: bytes) -> Ordered:
        """The fault ordered for this request; it is used up."""
        for at, match in enumerate(self.matches):
            if match.model in model and match.body.encode() in body:
                self._use(at, match)
                return Ordered(True, FAULTS[match.fault])
        if not self.script:
            return Ordered(False, None)
        name = self.script.popleft()
        return Ordered(True, FAULTS[name] if name is not None else None)

    def drawn(self, draws: Draws) -> Fault | None:
        """The fault that chance has for this request."""
        if not self.rates:
            return None
        left = draws.uniform("fault")
        for name, rate in self.rates.items():
            if left < rate:
                return FAULTS[name]
            left -= rate
        return None

    def shown(self) -> dict[str, Any]:
        """For the control API."""
        return {
            "script": list(self.script),
            "matches": [match.model_dump() for match in self.matches],
            "rates": self.rates,
        }

    def _use(self, at: int, match: Match) -> None:
        if match.times is None:
            return
        if match.times == 1:
            del self.matches[at]
        else:
            self.matches[at] = match.model_copy(update={"times": match.times - 1})


def spread(rates: Mapping[str, float]) -> dict[str, float]:
    """The rates with groups shared out among their members, sorted by name."""
    shares: dict[str, float] = {}
    for name, rate in rates.items():
        members = GROUPS.get(name, (name,))
        for member in members:
            shares[member] = shares.get(member, 0.0) + rate / len(members)
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"the rates add up to {sum(shares.values()):g}, more than 1")
    return {name: rate for name, rate in sorted(shares.items()) if rate > 0}
