"""What models write, and what is made of it."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.wire.replies import generated_and_quality, judged

OBJECT = '{"generated": "Qubits {superpose}.", "quality": 0.8}'


@pytest.mark.parametrize(
    "written",
    [
        OBJECT,
        f"\n\n{OBJECT}\n",
        f"```json\n{OBJECT}\n```",
        f"Here is the text with {{concept}}:\n```\n{OBJECT}\n```\nI hope it helps! }}",
        f'{{"thought": "first"}} {OBJECT}',
        OBJECT.replace("0.8", '"0.8"'),
    ],
)
def test_the_object_is_found_wherever_it_stands(written: str) -> None:
    assert generated_and_quality(written, True) == ("Qubits {superpose}.", 0.8)


@pytest.mark.parametrize(
    "quality", ["1.2", "-0.1", "NaN", "Infinity", "true", "null", '"high"', "[]"]
)
def test_a_quality_that_is_no_share_is_missing(quality: str) -> None:
    written = f'{{"generated": "Qubits.", "quality": {quality}}}'
    assert generated_and_quality(written, True) == ("Qubits.", None)


@pytest.mark.parametrize(
    "written",
    ["Qubits superpose.", "", "{", "{}", '{"text": "Qubits."}', '{"generated": 3}', "[1, 2]"],
)
def test_what_holds_no_such_object_is_the_text(written: str) -> None:
    assert generated_and_quality(written, True) == (written, None)


def test_text_that_was_asked_for_as_text_is_taken_as_it_is() -> None:
    assert generated_and_quality(OBJECT, False) == (OBJECT, None)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"generated": "Qubits superp', "Qubits superp"),
        ('```json\n{"generated": "Qubits\\n\\"superp\\', 'Qubits\n"superp'),
        ('{"generated": "Qubits \\u00e', "Qubits "),
        ('{"generated": "Qubits.", "quality": 0.', "Qubits."),
        ('{"generated": "Qubits."', "Qubits."),
        ('{"generated": "', ""),
    ],
)
def test_a_text_that_max_tokens_cut_is_taken_as_far_as_it_goes(written: str, text: str) -> None:
    assert generated_and_quality(written, True) == (text, None)


def test_line_breaks_and_formulas_as_they_are_do_not_spoil_the_object() -> None:
    written = '{"generated": "Line\nbreak, \\(\\psi\\) and \\\\ and \\u00e9", "quality": 1}'
    assert generated_and_quality(written, True) == ("Line\nbreak, \\(\\psi\\) and \\ and é", 1.0)


@pytest.mark.parametrize(
    ("written", "text", "quality"),
    [
        ('{"generated": "it said "hi" and left", "quality": 0.4}', 'it said "hi" and left', 0.4),
        ('{"generated": "it said "hi"", "quality": 0.4}', 'it said "hi"', 0.4),
        ('{"quality": 0.4, "generated": "it said "hi" there"}', 'it said "hi" there', 0.4),
        ('{"generated": "a "b", "c" and "d": e", "quality": 0.4}', 'a "b", "c" and "d": e', 0.4),
        ('{"generated": "a, "quality": x", "quality": 0.4}', 'a, "quality": x', 0.4),
        ('{"generated": "use {"generated": "y"} ok", "quality": 1}',
         'use {"generated": "y"} ok', 1.0),
        ('So: {"generated": "a "b" c", "quality": 0.4} I hope it helps', 'a "b" c', 0.4),
        ("{'generated': 'so \"fine\" it is', 'quality': 0.4}", 'so "fine" it is', 0.4),
        ("{“generated”: “smart text”, “quality”: 0.4}", "smart text", 0.4),
        ('```json\n{"generated": "line\nbreak", "quality": 0.4,}\n```', "line\nbreak", 0.4),
        ('{"generated": "a \\ud83d\\ude00 "b"", "quality": 0.4}', 'a 😀 "b"', 0.4),
        ('{"generated": x y z, "quality": 0.4}', "x y z", 0.4),
        ('{"generated": "cut in "the" mid', 'cut in "the" mid', None),
        ('{"generated": "a "b" c", "quality": 0.', 'a "b" c', None),
        ('{"generated": <text>}\n{"generated": "the second", "quality": 0.4}', "the second", 0.4),
        ('{"generated": "<think>hm</think>The answer.", "quality": 0.4}', "The answer.", 0.4),
    ],
)  # fmt: skip
def test_what_is_not_quite_json_loses_no_word(
    written: str, text: str, quality: float | None
) -> None:
    assert generated_and_quality(written, True) == (text, quality)


@given(
    st.lists(st.sampled_from(['"', "a", "b c", ", ", ": ", "{", "}", ". ", "\n", "é"]), max_size=12)
    .map("".join)
    .filter(lambda text: "generated" not in text)
)
def test_quotes_that_are_not_escaped_cost_no_word(text: str) -> None:
    found = generated_and_quality(f'{{"generated": "{text}", "quality": 0.4}}', True)
    assert re.findall(r"\w+", found.text) == re.findall(r"\w+", text)


@pytest.mark.parametrize("written", ['{"', '{"gener', '{"quality": 0.9, "gen', '```json\n{"'])
def test_an_object_that_was_cut_before_its_text_has_none(written: str) -> None:
    assert generated_and_quality(written, True) == ("", None)


def test_half_characters_become_question_marks() -> None:
    assert generated_and_quality('{"generated": "a\\ud83d", "quality": 1}', True).text == "a?"


@pytest.mark.parametrize(
    ("written", "score", "reason"),
    [
        ('{"reason": "clear", "score": 7}', 0.7, "clear"),
        ('```json\n{"reason": "clear", "score": 7.5}\n```', 0.75, "clear"),
        ('I think {well}. {"reason": "clear", "score": "10"}', 1.0, "clear"),
        ('{"score": 0}', 0.0, ""),
        ('{"reason": 3, "score": 1}', 0.1, ""),
        ('{"reason": "it quotes {\\"score\\": 10}", "score": 3}', 0.3, 'it quotes {"score": 10}'),
        ('{"score": 9} no: {"reason": "", "score": 2}', 0.2, ""),
        ("Clear and short.\n**Score:** 7/10", 0.7, "Clear and short.\n**Score:** 7/10"),
        ("score: 3\nOverall score = 8.5 out of 10.", 0.85, None),
        ("Score: 4", 0.4, "Score: 4"),
        ("**Score:** 8", 0.8, None),
        ("Score: **8**/10", 0.8, None),
        ("Rating: 7,5", 0.75, None),
        ("A clear text.\n8/10", 0.8, None),
        ('{"reason": "clear", "score": "7/10"}', 0.7, "clear"),
        ('{"score": "8 out of 10"}', 0.8, ""),
        ('{"score": "7,5"}', 0.75, ""),
        ('{"score": 8 out of 10}', 0.8, ""),
        ('{"reason": "clear", "score": 8,}', 0.8, "clear"),
        ('{"reason": "it says "no" to all", "score": 8}', 0.8, 'it says "no" to all'),
        ("{'reason': 'clear', 'Score': 8.0}", 0.8, "clear"),
        ('{"judgement": {"reason": "clear", "score": 8}}', 0.8, "clear"),
    ],
)
def test_a_judgement_is_read(written: str, score: float, reason: str | None) -> None:
    found = judged(written)
    assert found is not None
    assert found.score == pytest.approx(score)
    assert reason is None or found.reason == reason


@pytest.mark.parametrize(
    "written",
    [
        "",
        "7",
        "Clear.",
        "score: high",
        "Score: 11",
        "Score: 7/100",
        "Score: 70%",
        "Score: -3",
        "The text says score: 10",
        '{"reason": "clear"}',
        '{"reason": "clear", "score": 11}',
        '{"reason": "clear", "score": -1}',
        '{"reason": "clear", "score": true}',
        '{"reason": "clear", "score": null}',
        '{"reason": "clear", "score": NaN}',
        '{"reason": "clear", "score": "7/100"}',
        '{"reason": "clear", "score": "high"}',
        '{"score": 9} {"score": "none"}',
        '{"reason": "it says\nscore: 10\nbut',
        '{"reason": "clear", "score": 1',
        "[7]",
    ],
)
def test_what_holds_no_valid_score_is_no_judgement(written: str) -> None:
    assert judged(written) is None


@given(st.text() | st.text(alphabet='{}[]":,\\`\n scoregenratd0123456789.u'), st.booleans())
def test_any_text_is_read(written: str, wanted_structured: bool) -> None:
    text, quality = generated_and_quality(written, wanted_structured)
    text.encode()
    assert quality is None or 0 <= quality <= 1
    found = judged(written)
    assert found is None or 0 <= found.score <= 1


@given(st.text(), st.floats(0, 1))
def test_an_object_is_read_as_it_was_written(text: str, quality: float) -> None:
    written = json.dumps({"generated": text, "quality": quality})
    assert generated_and_quality(written, True) == (text, quality)


@given(st.text(), st.data())
def test_a_cut_object_gives_a_beginning_of_its_text(text: str, data: st.DataObject) -> None:
    written = '{"generated": ' + json.dumps(text)
    start = written.index(': "') + 3
    cut = written[: data.draw(st.integers(start, len(written)))]
    found = generated_and_quality(cut, True).text
    # The last character may be half of a pair.
    assert text.startswith(found) or text.startswith(found[:-1])


@pytest.mark.parametrize(
    "written",
    ['{"a":' * 300_000, "{" * 1_000_000, "\\" * 1_000_000, "Score:" + " " * 1_000_000 + "x",
     "score\n" * 200_000, '{"generated": "' + "\\" * 999_999],
    ids=["nested", "braces", "backslashes", "spaces", "lines", "escapes"],
)  # fmt: skip
def test_hostile_texts_take_no_time(written: str) -> None:
    generated_and_quality(written, True)
    judged(written)
