"""Every way an answer can go wrong, by name: sections 4.2 and 4.3 of the wire contract.

``FAULTS`` is the one table. ``extra`` marks those that the contract mentions in passing.
"""

from collections.abc import Mapping

from orchestrator.standin.faults.answers import ANSWER_FAULTS
from orchestrator.standin.faults.errors import ERROR_FAULTS
from orchestrator.standin.faults.kinds import Fault, Stage
from orchestrator.standin.faults.wires import WIRE_FAULTS

FAULTS: Mapping[str, Fault] = {
    fault.name: fault for fault in (*ERROR_FAULTS, *ANSWER_FAULTS, *WIRE_FAULTS)
}
#: What a mixture of all kinds draws from: everything a run is to survive without a person.
MIXED: tuple[str, ...] = tuple(sorted(fault.name for fault in FAULTS.values() if fault.mixed))

__all__ = ["FAULTS", "MIXED", "Fault", "Stage"]
