"""``run.json`` read back: the result of a run, or of a replay, as a run wrote it.

Only what its readers rely on is checked; what they do not know is passed on.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.config import RunConfig
from orchestrator.paired import Comparison, Decision, decide
from orchestrator.run_directory import RunDirectory
from shared.errors import UsageError

NAME = "run.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class _Compared(_Part):
    prompts: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    wins: int
    losses: int


class _Roles(_Part):
    generate: float
    judge: float
    eval: float


class _Calls(_Part):
    generate: int
    judge: int
    eval: int


class _Cost(_Part):
    """A replay has the total alone."""

    #: None: calls were made, and nothing of their cost is known.
    total_usd: float | None
    spent: _Roles | None = None
    estimated: _Roles | None = None
    perhaps: _Roles | None = None
    calls: _Calls | None = None
    faults: dict[str, int] = {}


class _Stopped(_Part):
    reason: str
    sentence: str


class _Alarm(_Part):
    step: int
    kind: str
    words: str


class _Result(_Part):
    steps: int
    cost: _Cost
    seconds: float | None = None
    stopped: _Stopped | None = None
    heldout: _Compared | None = None
    heldout_vs_plain: _Compared | None = None
    eval_metrics: dict[str, _Compared | None] = {}
    alarms: list[_Alarm] = []
    replay_of: str | None = None
    verdict: str | None = None


def result_of(directory: RunDirectory) -> Mapping[str, Any] | None:
    """The result as JSON values; None if the run has not ended.

    Raises UsageError if the file cannot be read, or is not what a run wrote.
    """
    if not (directory.path / NAME).exists():
        return None
    found: Mapping[str, Any] = directory.read_json(NAME)
    try:
        _Result.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(
            f"{directory.path / NAME} is not what a run wrote: {place}: {first['msg']}"
        ) from None
    return found


def decision_of(result: Mapping[str, Any], config: RunConfig) -> Decision | None:
    """The verdict on the trained policy, from its comparisons: older results name none."""
    start, plain = (Comparison.read(result.get(key)) for key in ("heldout", "heldout_vs_plain"))
    return decide(start, plain, has_plain=bool(config.model))
