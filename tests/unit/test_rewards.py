"""The four formula rewards: what raises them, what lowers them, and what must not break them."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rewards.length import length
from worker.rewards.quality import quality
from worker.rewards.structure import structure
from worker.rewards.vocabulary import vocabulary

PROMPT = "Explain quantum computing"
TERMS = (
    "quantum computing",
    "qubit",
    "superposition",
    "entanglement",
    "decoherence",
    "quantum gate",
)
REFERENCE = (
    "Quantum computing uses quantum mechanics to process information. Qubits exist in "
    "superposition, so a quantum computer explores many states at once, while entanglement "
    "correlates qubits in ways that classical bits cannot."
)
GOOD = (
    "Quantum computing uses the laws of quantum mechanics to process information. Unlike classical "
    "bits, a qubit can hold a superposition of zero and one, so many states are explored together. "
    "Because entanglement links qubits, measuring one tells us about another. However, noise "
    "destroys these fragile states quickly, which is why error correction matters so much."
)
ONE_PIECE = st.sampled_from(
    ["word", "Words.", "\n\n", "- item ", "量", "e\u0301", "1.", "'", '."', "!"]
)
ANY_TEXT = st.one_of(st.text(), st.lists(ONE_PIECE, max_size=30).map(" ".join))


def numbered(count: int, start: int = 0) -> str:
    """A text of that many different words."""
    return " ".join(f"w{number}" for number in range(start, start + count))


@given(ANY_TEXT)
def test_every_reward_is_in_range_and_repeatable(text: str) -> None:
    for reward in (length, vocabulary, structure, quality):
        assert 0 <= reward(text) <= 1
        assert reward(text) == reward(text)


@given(ANY_TEXT, ANY_TEXT, st.none() | ANY_TEXT, st.lists(ANY_TEXT, max_size=4), st.floats())
def test_quality_is_in_range_whatever_it_is_given(
    text: str, prompt: str, reference: str | None, terms: list[str], reported: float
) -> None:
    assert 0 <= quality(text, prompt, reference, tuple(terms), reported) <= 1


@pytest.mark.parametrize("text", ["", "   \n\n ", "...", "😀 😀", "_", "'"])
@pytest.mark.parametrize("reward", [length, vocabulary, structure, quality])
def test_a_text_without_words_scores_0(reward: Callable[[str], float], text: str) -> None:
    assert reward(text) == 0


def test_a_self_report_does_not_rescue_an_empty_text() -> None:
    assert quality("", PROMPT, REFERENCE, TERMS, 1.0) == 0


@pytest.mark.parametrize(
    "text",
    [
        "字" * 333_000,
        "." * 1_000_000 + "x",
        "a" + "\u0301\u0316" * 250_000,
    ],
)
@pytest.mark.parametrize("reward", [length, vocabulary, structure, quality])
def test_a_megabyte_takes_seconds_and_not_hours(reward: Callable[[str], float], text: str) -> None:
    started = time.process_time()
    assert 0 <= reward(text) <= 1
    # A rule that looks at every pair of characters would need hours.
    assert time.process_time() - started < 20


# --------------------------------------------------------------------------------- length


@pytest.mark.parametrize("count", [48, 60, 72])
def test_length_is_1_inside_the_window(count: int) -> None:
    assert length(numbered(count)) == 1


@given(st.integers(1, 46))
def test_length_falls_as_a_text_gets_too_short(count: int) -> None:
    assert length(numbered(count)) < length(numbered(count + 1)) < 1


@given(st.integers(73, 400))
def test_length_falls_as_a_text_gets_too_long(count: int) -> None:
    assert 1 > length(numbered(count)) > length(numbered(count + 1)) > 0


def test_length_punishes_half_and_double_alike() -> None:
    assert length(numbered(24)) == pytest.approx(length(numbered(144)))


def test_length_follows_the_target() -> None:
    assert length(numbered(10), target_words=10) == 1
    assert length(numbered(11), target_words=10, tolerance=0) < 1


@pytest.mark.parametrize("target", [0, -1, float("nan"), float("inf")])
def test_length_refuses_an_impossible_target(target: float) -> None:
    with pytest.raises(ValueError, match="target_words"):
        length("some words", target_words=target)


@pytest.mark.parametrize("tolerance", [-0.1, 1, float("nan")])
def test_length_refuses_an_impossible_tolerance(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        length("some words", tolerance=tolerance)


def test_scripts_without_spaces_have_a_length_and_a_vocabulary() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 60)))
    assert length(text) == 1
    assert vocabulary(text) == 1


# ----------------------------------------------------------------------------- vocabulary


def test_one_word_is_no_vocabulary() -> None:
    assert vocabulary("quantum") < 0.05


def test_vocabulary_is_1_when_no_window_repeats_a_word() -> None:
    assert vocabulary(numbered(200)) == 1


@given(st.integers(1, 100), st.integers(1, 100))
def test_vocabulary_does_not_fall_when_a_diverse_text_is_lengthened(first: int, more: int) -> None:
    assert vocabulary(numbered(first + more)) >= vocabulary(numbered(first))


def test_vocabulary_judges_a_long_text_like_its_parts() -> None:
    once = vocabulary(GOOD)
    assert vocabulary(" ".join([GOOD] * 5)) == pytest.approx(once, abs=0.03)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.integers(1, 12))
def test_vocabulary_is_the_mean_over_all_windows(letters: list[str], window: int) -> None:
    runs = [letters[at : at + window] for at in range(max(1, len(letters) - window + 1))]
    expected = sum(len(set(run)) / window for run in runs) / len(runs)
    assert vocabulary(" ".join(letters), window=window) == pytest.approx(expected)


def test_vocabulary_ignores_case_accent_encoding_and_typographic_apostrophes() -> None:
    assert vocabulary("STRASSE straße") == vocabulary("same same")
    assert vocabulary("caf\u00e9 cafe\u0301") == vocabulary("same same")
    assert vocabulary("don't don\u2019t") == vocabulary("same same")


@pytest.mark.parametrize("window", [0, -1, 2.5])
def test_vocabulary_refuses_an_impossible_window(window: int) -> None:
    with pytest.raises(ValueError, match="window"):
        vocabulary("some words", window=window)


# ------------------------------------------------------------------------------ structure


def test_varied_connected_sentences_have_structure() -> None:
    assert structure(GOOD) > 0.8


def test_a_heap_of_words_has_little_structure() -> None:
    assert structure(numbered(60)) < 0.2


def test_structure_falls_when_the_text_is_said_twice() -> None:
    assert structure(GOOD + " " + GOOD) < 0.6 * structure(GOOD)


def test_structure_falls_when_a_sentence_is_repeated() -> None:
    sentence = GOOD.partition(". ")[0] + "."
    assert structure(f"{GOOD} {sentence} {sentence}") < structure(GOOD)


def test_structure_falls_when_a_phrase_is_repeated() -> None:
    assert structure("We learn. " + "over and over again, " * 9 + "so we stop.") < 0.3


def test_structure_falls_when_the_end_is_cut_off() -> None:
    assert structure(GOOD[:-1]) == pytest.approx(structure(GOOD) - 0.2)


@pytest.mark.parametrize("end", ['."', ".)", "!", "?", "…", ".**", "。"])
def test_an_end_may_be_any_terminal_mark_with_closing_marks(end: str) -> None:
    assert structure("Some words here" + end) > structure("Some words here")


def test_lists_and_paragraphs_count_modestly() -> None:
    listed = GOOD.replace(". ", ".\n- ")
    paragraphs = GOOD.replace(". ", ".\n\n")
    assert 0 < structure(listed) - structure(GOOD) <= 0.11
    assert 0 < structure(paragraphs) - structure(GOOD) <= 0.11


def test_sentences_end_without_a_space_in_chinese() -> None:
    assert structure("量子计算很快。它使用量子比特和叠加态。我们喜欢它。") > 0.7


# -------------------------------------------------------------------------------- quality


def test_a_missing_self_report_does_not_count_as_0() -> None:
    alone = quality(GOOD, PROMPT, REFERENCE, TERMS)
    assert quality(GOOD, PROMPT, REFERENCE, TERMS, 0.0) == pytest.approx(alone / 2)
    assert quality(GOOD, PROMPT, REFERENCE, TERMS, alone) == pytest.approx(alone)


def test_a_self_report_is_clamped_and_a_non_finite_one_is_missing() -> None:
    assert quality("words", quality=7.0) == 1
    assert quality("words", quality=float("nan")) == quality("words")


@pytest.mark.parametrize("reference", [REFERENCE, None])
@pytest.mark.parametrize(
    "stuffing",
    [
        ", ".join(TERMS) + ".",
        ", ".join(TERMS * 5) + ".",
        " and ".join(TERMS) + ".",
        "The " + ", the ".join(TERMS) + ".",
        "quantum computing " * 30,
    ],
)
def test_stuffing_with_keywords_loses_to_a_good_text(stuffing: str, reference: str | None) -> None:
    stuffed = quality(stuffing, PROMPT, reference, TERMS)
    assert stuffed < quality(GOOD, PROMPT, reference, TERMS) - 0.1


@pytest.mark.parametrize("reference", [REFERENCE, None])
def test_a_text_about_something_else_has_no_quality(reference: str | None) -> None:
    cake = "Beat the eggs with sugar until they are pale, then fold in the flour and bake."
    assert quality(cake, PROMPT, reference, TERMS) == 0


def test_a_copy_of_the_reference_is_not_taken_for_stuffing() -> None:
    assert quality(REFERENCE, PROMPT, REFERENCE) == 1
    chinese = "量子计算使用量子比特"
    assert quality(chinese, "", chinese) == 1


def test_more_of_the_reference_is_better() -> None:
    first, _, rest = REFERENCE.partition(". ")
    assert rest
    assert quality(first, "", REFERENCE) < quality(REFERENCE, "", REFERENCE)


def test_of_several_references_the_one_that_a_text_fits_best_counts() -> None:
    right, wrong = "Qubits hold superpositions.", "Bread needs flour."
    text = "A qubit holds a superposition of two states."

    best = quality(text, reference=right)

    assert (
        quality(text, reference=[wrong, right]) == quality(text, reference=(right, wrong)) == best
    )
    assert quality(text, reference=[wrong]) == quality(text, reference=wrong) < best
    assert quality(text, reference=[]) == quality(text)


def test_terms_count_as_whole_phrases_in_singular_and_plural() -> None:
    terms = ("quantum gate", "neural_network")
    assert quality("There are many quantum gates in it.", terms=terms) > 0
    assert quality("A quantum leap through the garden gate.", terms=terms) == 0
    assert quality("These are Neural Networks, as we know them.", terms=terms) > 0


def test_the_instruction_in_a_prompt_is_not_its_subject() -> None:
    assert quality("This will explain how to bake bread.", PROMPT) == 0


def test_without_anything_to_judge_by_quality_is_neutral() -> None:
    assert quality("Some words.") == 0.5
