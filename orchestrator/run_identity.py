"""What two runs must share for their rewards to be comparable."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator.config import RunConfig


class Identity(NamedTuple):
    """Of a run, in hexadecimal. The code of custom rewards is not in it, only their names."""

    #: Which prompts were trained on and held out, and as what they were read.
    data: str
    #: How completions were scored.
    reward: str

    def unlike(self, other: "Identity") -> tuple[str, ...]:
        """In what two runs differ: "data", "reward"."""
        pairs = zip(self._fields, self, other, strict=True)
        return tuple(name for name, mine, theirs in pairs if mine != theirs)


def identity(config: RunConfig, kept: Mapping[str, Any]) -> Identity:
    """``kept`` is the run's ``inputs.json``: role -> what is known of the file."""
    sums = {role: entry.get("sha256") for role, entry in kept.items()}
    split = None if "heldout" in sums else (config.heldout_fraction, config.seed)
    rewards = config.rewards()
    total = sum(rewards.values())
    shares = {name: round(weight / total, 9) for name, weight in rewards.items() if weight}
    judges = sorted(config.judge_models)
    return Identity(
        _hash(sums.get("train"), sums.get("heldout"), split, config.columns.model_dump()),
        _hash(shares, config.reward_options, judges, sums.get("rubric")),
    )


def _hash(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
