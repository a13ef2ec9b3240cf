"""The services of ``report_to``, one file each, named as in the config.

A file has ``open_run(about) -> Service``; importing it needs the service's own package.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from orchestrator.callbacks import Ending

#: Where runs are gathered, unless the service's own settings say otherwise.
PROJECT = "concept-grpo"


class About(NamedTuple):
    """What a service is told of a run."""

    name: str
    #: The run directory.
    path: Path
    #: The config as JSON values. Secrets and addresses are no part of a config.
    config: Mapping[str, Any]
    #: The first step that is still to be done, counted from 1.
    first_step: int
    #: What ``id`` of the service was in an earlier attempt; None = the run is new to it.
    known_id: str | None


class Service(Protocol):
    """An open run of a service. Used from one thread; what it raises is told, once."""

    #: Where people look: an address, or a command.
    place: str
    #: What the service finds the run by, when it is resumed.
    id: str
    #: Whether opening has taken away what was written for the steps that will be done again.
    rewound: bool

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Numbers of a step; several times for one step, with different names."""

    def alarm(self, step: int, kind: str, words: str) -> None:
        """Something that a person should look at."""

    def close(self, ending: Ending) -> None:
        """Everything is sent when this returns."""
