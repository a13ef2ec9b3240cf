"""The messages that a report shows are those that were sent."""

from typing import Any

from orchestrator.config import RunConfig
from orchestrator.inputs import prepare
from orchestrator.prompts import slot_prompt, system_message
from orchestrator.report.html.sent_messages import sent_messages
from orchestrator.rollouts import PLAIN, Action

INPUTS = prepare(RunConfig(model="a/model"))


def row(purpose: str, example: str, domain: str, action: Action) -> dict[str, Any]:
    known = INPUTS.domains[domain]
    return {
        "purpose": purpose,
        "example": example,
        "domain": domain,
        "concepts": [known.concepts[at] for at in action.concepts],
        "template": None if action == PLAIN else action.template,
        "features": [known.features[at] for at in action.features],
    }


def test_the_messages_of_a_row_are_those_of_its_slot_in_training_and_held_out() -> None:
    of = sent_messages(INPUTS)
    for purpose, examples, domains in (
        ("train", INPUTS.train, INPUTS.train_domains),
        ("eval", INPUTS.heldout, INPUTS.heldout_domains),
    ):
        for example in examples[:5]:
            domain = domains[example.id]
            for action in (Action((1, 3), 2, (0, 4)), PLAIN):
                system = system_message(INPUTS.config)
                sent = slot_prompt(example, INPUTS.domains[domain], action, system, 0, 7)

                assert of(row(purpose, example.id, domain, action)) == sent.messages


def test_nothing_is_shown_for_what_the_inputs_lack_or_the_template_engine_wrote() -> None:
    example = INPUTS.train[0]
    found = row("train", example.id, INPUTS.train_domains[example.id], PLAIN)

    assert sent_messages(INPUTS)({**found, "example": "gone"}) == ()
    assert sent_messages(INPUTS)({**found, "template": 1, "concepts": ["gone"]}) == ()
    assert sent_messages(prepare(RunConfig()))(found) == ()
