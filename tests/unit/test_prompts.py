"""Actions as messages and drafts."""

from orchestrator.domains import Domain
from orchestrator.prompts import build, slot_prompt
from orchestrator.rollouts import Action, Example
from orchestrator.templates import NO_FEATURES, Template

DOMAIN = Domain(
    name="cooking",
    aliases=(),
    concepts=("salt", "heat"),
    templates=(
        Template.parse("{topic} needs {concept}.", "here"),
        Template.parse("{concept} and {feature} for {topic}.", "here"),
    ),
    features=("time", "Salt"),
    related=((0,), (0, 1)),
)


def test_the_prompt_holds_the_text_the_choices_and_the_filled_skeleton() -> None:
    example = Example("e1", "Explain heat")
    messages, draft = build(example, DOMAIN, Action((0,), 1, (0,)), "Answer well.")
    assert draft == "Salt and time for heat."
    assert [(message.role, message.content) for message in messages] == [
        ("system", "Answer well."),
        (
            "user",
            "Explain heat\n\n"
            "Build the answer on: salt.\n"
            "Mention: time.\n\n"
            "Follow this skeleton: keep its shape and about its length, but answer the question "
            "above, in better sentences, and correct what does not fit it.\n\n"
            "Skeleton:\n"
            "Salt and time for heat.",
        ),
    ]


def test_the_seed_s_base_prompt_is_the_default() -> None:
    prompt = build(Example("e1", "x"), DOMAIN, Action((0,), 0, ()))
    assert prompt.messages[0].content == "Generate a high-quality explanation."


def test_a_topic_among_the_chosen_concepts_gives_way_to_the_domain_s_name() -> None:
    assert build(Example("e1", "heat"), DOMAIN, Action((1,), 0, ())).draft == "Cooking needs heat."


def test_a_feature_among_the_chosen_concepts_is_not_asked_for_twice() -> None:
    messages, draft = build(Example("e1", "x"), DOMAIN, Action((0, 1), 1, (1,)), "b")
    assert draft == f"Salt and heat and {NO_FEATURES} for cooking."
    assert "Mention" not in messages[1].content


def test_no_feature_leaves_no_gap() -> None:
    messages, _ = build(Example("e1", "x"), DOMAIN, Action((0, 1), 0, ()), "b")
    assert "Build the answer on: salt and heat.\n\nFollow" in messages[1].content


def test_braces_in_the_data_and_the_base_prompt_are_inert() -> None:
    text = "{concept} {0} %s {{x}} {text.__class__}"
    messages, _ = build(Example("e1", text), DOMAIN, Action((0,), 0, ()), text)
    assert messages[0].content == text
    assert messages[1].content.startswith(text + "\n\n")


def test_a_slot_prompt_carries_slot_and_seed() -> None:
    example, action = Example("e1", "Explain heat"), Action((0,), 1, (0,))
    prompt = slot_prompt(example, DOMAIN, action, "Answer well.", slot=2, seed=99)
    assert (prompt.slot, prompt.seed) == (2, 99)
    assert (prompt.messages, prompt.draft) == build(example, DOMAIN, action, "Answer well.")
