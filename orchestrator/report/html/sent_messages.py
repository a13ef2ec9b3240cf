"""The chat messages of a rollout, made again from its row: what stands there says it all."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.inputs import Inputs
from orchestrator.prompts import build, system_message
from orchestrator.rollouts import PLAIN, Action
from shared.messages import ChatMessage

#: Of a row, the messages that were sent; none for a prompt or choice that the inputs lack.
Sent = Callable[[Mapping[str, Any]], tuple[ChatMessage, ...]]


def sent_messages(inputs: Inputs) -> Sent:
    """How the messages of this run's rollouts are found. The template engine is sent none."""
    # An id is of one file: training and held-out prompts may share it.
    train = {example.id: example for example in inputs.train}
    heldout = {example.id: example for example in inputs.heldout}
    system = system_message(inputs.config)

    def of(row: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        if not inputs.config.model:
            return ()
        try:
            examples = train if row["purpose"] == "train" else heldout
            example, domain = examples[row["example"]], inputs.domains[row["domain"]]
            action = PLAIN
            if row["template"] is not None:
                action = Action(
                    tuple(domain.concepts.index(name) for name in row["concepts"]),
                    row["template"],
                    tuple(domain.features.index(name) for name in row["features"]),
                )
            return build(example, domain, action, system).messages
        except (LookupError, ValueError, TypeError):
            return ()

    return of
