"""The seed's printout: what a batch has brought, four lines per prompt."""

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

#: Characters of a text that are shown.
SHOWN_CHARACTERS = 160


class Shown(NamedTuple):
    """One prompt and its best output."""

    input: str
    output: str
    reward: float
    feedback: str


def batch_outputs(shown: Sequence[Shown]) -> str:
    """The printout of one batch, in the order of its prompts."""
    lines = ["Batch outputs:"]
    for one in shown:
        lines += [
            f'Input: "{_short(one.input)}"',
            f'Output: "{_short(one.output)}"',
            f"Reward: {one.reward:.3f}",
            f"Feedback: {one.feedback}",
        ]
    return "\n".join(lines)


def unmatched_line(sources: Sequence[str], total: int) -> str:
    """Which prompts no domain answers."""
    named = ", ".join(sources[:5]) + (", ..." if len(sources) > 5 else "")
    return f"{len(sources)} of {total} prompts match no domain and never train: {named}"


def _short(text: Any) -> str:
    return textwrap.shorten(str(text), SHOWN_CHARACTERS, placeholder="...")
