"""All that a stand-in remembers, in one place."""

from collections import Counter
from dataclasses import dataclass, field

from orchestrator.standin.cache import Cache
from orchestrator.standin.ledger import Ledger
from orchestrator.standin.limits import Limits
from orchestrator.standin.plan import Plan
from orchestrator.standin.received import Received
from orchestrator.standin.settings import Settings


@dataclass(slots=True)
class Memory:
    """What a reset forgets."""

    plan: Plan = field(default_factory=Plan)
    cache: Cache = field(default_factory=Cache)
    ledger: Ledger = field(default_factory=Ledger)
    received: Received = field(default_factory=Received)
    #: How often each body was let through.
    seen: Counter[bytes] = field(default_factory=Counter)
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        self.limits = Limits(self.ledger)


@dataclass(slots=True)
class Desk:
    """Settings and memory; requests that are under way keep the memory they began with."""

    settings: Settings
    memory: Memory = field(default_factory=Memory)

    def reset(self) -> None:
        """Forget everything but the settings."""
        self.memory = Memory()
