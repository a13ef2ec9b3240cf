"""The answer that most completions of an evaluation gave: where all collapse to one, it shows."""

from collections.abc import Mapping
from typing import Any

from orchestrator.report.html.plain_text import line

#: The share of completions from which on one answer to several prompts is worth a line.
ALIKE = 0.25
#: What stands before the most frequent answer of an evaluation.
ANSWERS_OF = {"final": "", "initial": "at the start "}
#: Characters of an answer that are shown.
SHOWN_ANSWER = 60


def answers_line(found: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The most frequent answer of each evaluation; "" unless one gives it to several prompts.

    ``names``: evaluation -> what stands before its answer.
    """
    known = {kind: found[kind] for kind in names if kind in found}
    if not any(o["prompts"] > 1 and o["times"] >= ALIKE * o["completions"] for o in known.values()):
        return ""
    return "; ".join(
        f"{names[kind]}{line(of['text'], SHOWN_ANSWER) or '(nothing)'} {of['times']} of"
        f" {of['completions']} ({of['times'] / of['completions']:.0%})"
        for kind, of in known.items()
    )
