"""Which domain a text belongs to, and its topic."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domains import Domain, builtin
from orchestrator.matching import match, match_all, says, topic
from orchestrator.rollouts import Example
from shared.errors import UsageError
from tests.languages import LANGUAGES, domain

COOKING = domain("cooking", "salt", "open fire", aliases=("cuisine",))


def found(text: str, *domains: Domain) -> str | None:
    matched = match(text, None, domains or (COOKING,), rule="words").domain
    return matched.name if matched else None


@pytest.mark.parametrize(
    "text",
    [
        "Why salt?",
        "SALT!",
        "“salt”",
        "salts",
        "over open fires",
        "cooking",
        "French cuisine's roots",
    ],
)
def test_whole_words_match_whatever_their_case_and_plural(text: str) -> None:
    assert found(text) == "cooking"


@pytest.mark.parametrize("text", ["basalt", "salted", "open a fire", "precooking", "", "?!"])
def test_parts_of_words_never_match(text: str) -> None:
    assert found(text) is None


@pytest.mark.parametrize(
    ("concept", "text", "matches"),
    [
        ("in", "quantum mechanics in brief", True),
        ("in", "quantum mechanics begins", False),
        ("C++", "templates in C++?", True),
        ("C++", "vitamin C", False),
        ("+", "one + one", False),
        ("fine-tuning", "what is fine tuning", True),
        ("café", "a cafe\u0301 nearby", True),
        ("naïve", "naive", False),
        ("量子", "解释量子计算", True),
        ("class", "clas", False),
        ("generalisation", "What is generalization?", True),
    ],
)
def test_word_boundaries_follow_unicode(concept: str, text: str, matches: bool) -> None:
    assert found(text, domain("d", concept, "zzz")) == ("d" if matches else None)


def test_names_count_three_times_and_long_phrases_more() -> None:
    scores = [
        match(text, None, [COOKING], rule="words").score
        for text in ("salt, salt", "open fire", "cuisine")
    ]
    assert scores == [1, 2, 3]


def test_a_phrase_inside_a_longer_one_is_not_counted_again() -> None:
    nested = domain("nested", "quantum gates", "gates", "quantum")
    assert match("quantum gates", None, [nested]).score == 2
    assert match("quantum gates and other gates", None, [nested]).score == 3


def test_the_first_domain_wins_a_tie_and_the_others_are_reported() -> None:
    domains = [domain("a", "salt", "x"), domain("b", "salt", "y"), domain("c", "salt", "z")]
    matched = match("salt", None, domains)
    assert matched.domain is domains[0]
    assert matched.ties == ("b", "c")
    assert match("salt y", None, domains) == (domains[1], 2, ())


def test_the_domain_that_the_data_names_goes_first() -> None:
    baking = domain("home-baking", "flour", "yeast", aliases=("Baking",))
    for name in ("home-baking", "Home Baking", "baking"):
        assert match("salt", name, [COOKING, baking]).domain is baking


def test_an_unknown_named_domain_is_an_error_with_its_line() -> None:
    examples = [Example("a", "salt"), Example("b", "salt", domain="coking", source="t.jsonl:2")]
    with pytest.raises(UsageError, match=r"t.jsonl:2: domain 'coking' .* mean 'cooking'\?"):
        match_all(examples, [COOKING])


def test_a_single_domain_needs_no_word() -> None:
    assert match("Who won the match?", None, [COOKING]) == (COOKING, 0, ())
    assert match("Why salt?", None, [COOKING]) == (COOKING, 1, ())
    with pytest.raises(UsageError, match="is not one of this run's"):
        match("Why salt?", "baking", [COOKING])


def test_no_match_is_none() -> None:
    assert match("Who won the match?", None, builtin()) == (None, 0, ())
    assert match("Who won the match?", None, [COOKING], rule="words") == (None, 0, ())
    assert match("salt", None, []) == (None, 0, ())


def test_the_topic_is_the_longest_phrase_in_the_domain_s_spelling() -> None:
    assert topic("Explain salt over OPEN FIRES", COOKING) == "open fire"
    assert topic("Explain quantum computing", builtin()[0]) == "quantum computing"
    assert topic("What is a qubit?", builtin()[0]) == "qubits"
    assert topic("anything", COOKING) == "cooking"


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_found_in_every_script_and_parts_of_words_are_not(language: str) -> None:
    ours, said, not_said = LANGUAGES[language]
    domains = (domain("zzz", "zzzz", "zzzzz"), ours)

    assert {text: found(text, *domains) for text in said} == dict.fromkeys(said, ours.name)
    assert {text: found(text, *domains) for text in not_said} == dict.fromkeys(not_said)


def test_a_whole_word_counts_before_the_beginning_of_another() -> None:
    trade, news = domain("trade", "import", "duty"), domain("news", "headline", "press")

    assert found("important headlines", trade, news) == "news"
    assert not says("important notice", trade)
    assert says("headlines", news)


@given(st.text())
def test_any_text_can_be_matched(text: str) -> None:
    match(text, None, builtin())


@pytest.mark.parametrize(
    "text", ["كلولو" * 20_000, "ווכש" * 25_000, "e\u0301" * 50_000, "가" * 99_999]
)
def test_the_longest_texts_are_matched_in_a_moment(text: str) -> None:
    started = time.process_time()
    match(text, None, [each for each, _, _ in LANGUAGES.values()])
    assert time.process_time() - started < 20
