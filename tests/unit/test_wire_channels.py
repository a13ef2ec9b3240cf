"""What models reason is not what they answer, in whatever form a server leaves it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.wire.channels import divided, divided_so_far

REASONED = [
    "<think>hm</think>The answer.",
    "\n<think>\nhm\n</think>\n\nThe answer.\n",
    "hm\n</think>\n\nThe answer.",
    "hm. </think>The answer.",
    "hm. </think> The answer.",
    "<THINKING>hm</THINKING>The answer.",
    "<reasoning>hm</reasoning>The answer.",
    "<thought>hm</thought>The answer.",
    '<think budget="9">hm</think>The answer.',
    "<seed:think>hm</seed:think>The answer.",
    "[THINK]hm[/THINK]The answer.",
    "hm[/THINK]The answer.",
    "◁think▷hm◁/think▷The answer.",
    "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>The answer.<|END_RESPONSE|>",
    "<|begin_of_thought|>hm<|end_of_thought|><|begin_of_solution|>The answer.",
    "<|channel>thought\nhm<channel|>The answer.<turn|>",
    "<unused94>thought\nhm<unused95>The answer.",
    "<|channel|>analysis<|message|>hm<|end|>"
    "<|start|>assistant<|channel|>final<|message|>The answer.<|return|>",
    "<|channel|>analysis hm<|channel|>final<|message|>The answer.",
    "<|start|>assistant<|channel|>final <|constrain|>json<|message|>The answer.",
    "analysisThe user asks.assistantfinalThe answer.",
    "Here is my thought process:\nhm\n\nHere is my response:\nThe answer.",
    "<think/>The answer.",
    "<think></think>\n<think>hm</think>The answer.",
    "<think>a <think>b</think> c</think>The answer.",
    "<think>about the <think> tag</think>The answer.",
    "<think>hm</think>\n<answer>The answer.</answer>",
    "<|im_start|>assistant\n<think>hm</think>The answer.<|im_end|>",
]


@pytest.mark.parametrize("written", REASONED)
def test_reasoning_is_taken_off_the_answer(written: str) -> None:
    assert divided(written) == ("The answer.", True)


@pytest.mark.parametrize(
    "written",
    ["<think>hm", "<think>hm</think>", "hm\n</think>\n", "[THINK]hm", "<|channel|>analysis hm"],
)
def test_reasoning_alone_is_no_answer(written: str) -> None:
    assert divided(written) == ("", True)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "The answer.",
        "  The answer, with its spaces.\n",
        "a < b, and <b>bold</b>",
        "Models write <think>hm</think> before they answer.",
        "Use <think> and </think> around it.",
        "```\n<think>hm</think>\n```\nshows the tags.",
        "The `</think>` tag closes it.",
        'He wrote "</think>" at its end.',
        "Its end is </think>, and then comes the answer.",
        "It ends with </think> and goes on.",
        "Steps:\n\n```xml\n</think>\n```\n",
        '{"generated": "it ends with\n</think>\nthere"}',
        "analysis of the text",
        "Here is my thought process: none.",
        "<answer>The answer.</answer>",
    ],
)
def test_an_answer_that_writes_about_reasoning_stays_whole(written: str) -> None:
    assert divided(written) == (written, False)


@pytest.mark.parametrize("end", ["<|im_end|>", "</s>", "<|eot_id|>\n", "<end_of_turn>\n<eos>"])
def test_tokens_that_end_a_turn_are_no_part_of_it(end: str) -> None:
    assert divided(f"The answer.{end}") == ("The answer.", False)


@given(st.text(alphabet="<>/|[]think THINK`.,\n"))
def test_any_text_is_taken_apart(written: str) -> None:
    answer, reasoned = divided(written)
    assert answer in written
    assert reasoned or not answer or written.startswith(answer)


@pytest.mark.parametrize("written", REASONED)
def test_no_word_of_reasoning_is_sure_to_be_answer_at_any_point(written: str) -> None:
    opens = not written.startswith("hm") and "<think>a <think>" not in written
    for end in range(len(written) + 1):
        found = divided_so_far(written[:end])
        assert "The answer.".startswith(found) or not opens


@given(st.text(alphabet="<>/|[]think THINK`.,\n"), st.integers(0, 50))
def test_what_is_sure_of_a_part_is_sure_of_more(written: str, end: int) -> None:
    assert divided_so_far(written[:end]) in written


@pytest.mark.parametrize(
    "written",
    ["<think>" * 100_000, "</think>" * 100_000, "`</think>`" * 50_000, "`\n</think>." * 50_000,
     "<think " * 100_000, "<think><think></think>" * 10_000, "</s>" * 100_000 + "x",
     "<|channel|>" * 100_000, " " * 500_000 + "<"],
    ids=["opened", "closed", "quoted", "mentioned", "unended", "nested", "ends", "tokens", "blank"],
)  # fmt: skip
@pytest.mark.timeout(30)
def test_hostile_texts_end(written: str) -> None:
    divided(written)
    divided_so_far(written)
