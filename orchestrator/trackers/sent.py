"""What a service has been sent of a run, kept beside the run: ``reported/NAME.json``."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from orchestrator.run_directory import RunDirectory
from shared.errors import UsageError


class Sent:
    """The service's id of the run, and the rows that it has."""

    def __init__(self, directory: RunDirectory, service: str) -> None:
        self._directory = directory
        self._file = f"reported/{service}.json"
        #: None: the run is new to the service.
        self.id: str | None = None
        #: The last step that was sent.
        self._step = 0
        #: (step, kind) of the evaluations and alarms that were sent.
        self._others: set[tuple[int, str]] = set()
        with suppress(UsageError, KeyError, TypeError, ValueError):
            kept = directory.read_json(self._file)
            self._others = {(int(step), str(kind)) for step, kind in kept["others"]}
            self.id, self._step = kept["id"], int(kept["step"])

    def begin(self, service_id: str, rewound_to: int | None) -> None:
        """``rewound_to``: the service has forgotten everything from this step on."""
        self.id = service_id
        if rewound_to is not None:
            self._step = min(self._step, rewound_to - 1)
            self._others = {other for other in self._others if other[0] < rewound_to}
        (self._directory.path / self._file).parent.mkdir(exist_ok=True)
        self._write()

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether this row of ``metrics.jsonl`` was sent."""
        kind = _kind(row)
        return (row["step"], kind) in self._others if kind else row["step"] <= self._step

    def note(self, row: Mapping[str, Any]) -> None:
        """This row was sent."""
        if kind := _kind(row):
            self._others.add((row["step"], kind))
        else:
            self._step = max(self._step, row["step"])
        self._write()

    def _write(self) -> None:
        others = sorted(self._others)
        kept = {"id": self.id, "step": self._step, "others": others}
        self._directory.write_json(self._file, kept)


def _kind(row: Mapping[str, Any]) -> str:
    """What tells a row from others of its step; empty for the step's own."""
    return f"alarm {row['words']}" if "alarm" in row else str(row.get("kind", ""))
