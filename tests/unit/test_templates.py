"""Templates: what they accept, and how they are filled."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.templates import NO_FEATURES, Template
from shared.errors import UsageError


def fill(text: str, topic: str = "tea", features: tuple[str, ...] = ("time",)) -> str:
    return Template.parse(text, "here").fill(topic, ("heat", "water"), features)


@pytest.mark.parametrize(
    ("concepts", "joined"),
    [(("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")],
)
def test_lists_are_joined_as_english_does(concepts: tuple[str, ...], joined: str) -> None:
    template = Template.parse("Use {concept} for {feature}.", "here")
    assert template.fill("tea", concepts, concepts) == f"Use {joined} for {joined}."


def test_without_features_the_text_still_reads_well() -> None:
    assert fill("Use {concept} and see {feature}.", features=()) == (
        f"Use heat and water and see {NO_FEATURES}."
    )


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{concept} help.", "Heat and water help."),
        ('"{topic}" needs {concept}.', '"Tea" needs heat and water.'),
        ("Wait. {topic}! {concept}?", "Wait. Tea! Heat and water?"),
        ("See:\n1. {concept}\n- {topic}", "See:\n1. Heat and water\n- Tea"),
        ("A\n\n{concept}", "A\n\nHeat and water"),
        ("A\n{concept}", "A\nheat and water"),
        ("Take {topic} - {concept}.", "Take tea - heat and water."),
        ("Much, e.g. {concept}.", "Much, e.g. heat and water."),
        ("{topic}{concept}: {topic}", "Teaheat and water: tea"),
    ],
)
def test_a_placeholder_that_starts_a_sentence_gets_a_capital(text: str, filled: str) -> None:
    assert fill(text) == filled


def test_doubled_braces_are_literal() -> None:
    assert fill("{{concept}} is {{{concept}}}.") == "{concept} is {heat and water}."


@given(st.text())
def test_braces_in_values_are_inert(text: str) -> None:
    template = Template.parse("of {topic}: {concept}, {feature}", "here")
    assert template.fill(text, (text,), (text,)) == f"of {text}: {text}, {text or NO_FEATURES}"


@given(st.text())
def test_any_text_can_be_written_with_doubled_braces(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert fill(f"{escaped}, {{concept}}") == f"{text}, heat and water"


@given(st.text(alphabet="{}concept.[0]!r: "))
def test_any_text_is_accepted_or_refused_in_words(text: str) -> None:
    with contextlib.suppress(UsageError):
        fill(text + "{concept}")


def test_the_message_names_the_place_and_what_is_allowed() -> None:
    with pytest.raises(UsageError) as caught:
        Template.parse("{concept!r}", "d.toml: domain 'x', template 2")
    assert str(caught.value) == (
        "d.toml: domain 'x', template 2: '{concept!r}' is not a placeholder. "
        "Write {topic}, {concept} or {feature} exactly so; for literal braces write {{ and }}."
    )
