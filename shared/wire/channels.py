"""The answer of a model, without the markup of its other channels.

Models that reason write in channels: first their reasoning, then the answer. Servers are meant to
take them apart; many leave the reasoning in the content, between tags, between tokens, or with its
closing tag alone, since their template opened it in the prompt. Only markup at the start counts: an
answer that writes about ``<think>`` further on is an answer.
"""

import itertools
import re
from typing import NamedTuple

_NAMES = r"(?:[a-z]{1,12}:)?(?:think|thinking|thought|thoughts|reasoning)"
# What opens a channel of reasoning, and what closes it, by family: DeepSeek, Qwen and most others;
# Magistral; Kimi; Cohere; OpenThinker; Gemma; MedGemma.
_FAMILIES = tuple(
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for opening, closing in (
        (rf"<{_NAMES}(?:\s[^<>]{{0,200}})?>", rf"</{_NAMES}\s*>"),
        (r"\[THINK\]", r"\[/THINK\]"),
        (r"◁think▷", r"◁/think▷"),
        (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
        (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
        (r"<\|channel>thought\b", r"<channel\|>"),
        (r"<unused94>(?:thought\b)?", r"<unused95>"),
    )
)
_CLOSED_AT_ONCE = re.compile(rf"<{_NAMES}\s*/>", re.IGNORECASE)
# What some models put around the answer that follows their reasoning.
_WRAPPERS = tuple(
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for opening, closing in (
        (r"<(?:answer|response)>", r"</(?:answer|response)>\s*\Z"),
        (r"<\|START_RESPONSE\|>", r"<\|END_RESPONSE\|>\s*\Z"),
        (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>\s*\Z"),
    )
)
# gpt-oss ("harmony"), with its tokens, and without them where a server has dropped those.
_HARMONY = re.compile(r"(?:<\|start\|>assistant)?\s*<\|channel\|>")
_HARMONY_FINAL = re.compile(
    r"<\|channel\|>\s*final\b(?:[^<]{0,80}(?:<\|constrain\|>[^<]{0,80})?<\|message\|>)?"
)
_HARMONY_END = re.compile(r"<\|(?:end|return|start|channel|call)\|>")
_HARMONY_BARE = re.compile(r"analysis(?=\S)(.*?)assistantfinal", re.DOTALL)
_GRANITE = re.compile(
    r"Here(?:'s| is) my thought process:(.*?)\n\s*Here(?:'s| is) my response:", re.DOTALL
)
# Tokens of the chat template around a turn.
_TURN_BEGINS = re.compile(
    r"\s*(?:<\|im_start\|>assistant\b|<\|start_header_id\|>assistant<\|end_header_id\|>"
    r"|<start_of_turn>model\b)\s*"
)
_TURN_ENDS = re.compile(
    r"(?:\s*(?:<\|(?:im_end|endoftext|eot_id|end|return|end_of_text|END_OF_TURN_TOKEN)\|>"
    r"|</s>|<end_of_turn>|<eos>|<turn\|>))+\s*\Z"
)
_LONGEST_TURN_END = 200
# What may become the beginning of reasoning or of a turn, and what of a turn's end.
_MAY_OPEN = re.compile(
    r"<[^<>]{0,220}|<(?:\||unused94|start_of_turn)[^<>]{0,30}>\s?\w{0,12}(?:<[^<>]{0,20})?"
    r"|\[[a-z]{0,5}|◁[a-z]{0,5}",
    re.IGNORECASE,
)
_MAY_END = re.compile(r"(?:\s*<(?:[|/a-z][^<>\s]{0,30})?(?:>|\Z))+\s*\Z")
_FIRST_WORDS = ("analysis", "Here's my thought process:", "Here is my thought process:")
_QUOTES = "`\"'“”‘’«»"
#: Without one of these there is no markup.
_MARKS = ("<", "THINK]", "◁", "assistantfinal", "my thought process:")
# Bounds the time that a hostile text can take.
_MOST_TAGS = 20


class Channels(NamedTuple):
    """What a model wrote, taken apart. Made by ``divided``."""

    #: Without reasoning; empty if there is nothing else.
    answer: str
    #: Whether there was reasoning beside it.
    reasoned: bool


def divided(written: str) -> Channels:
    """The answer in all that was written. What holds no such markup is the answer, unchanged."""
    if not any(mark in written for mark in _MARKS):
        return Channels(written, False)
    begun = _TURN_BEGINS.match(written)
    opened = written[begun.end() :] if begun else written
    answer = _after_reasoning(opened)
    if answer is None:
        return Channels(_without_turn_end(opened), False)
    return Channels(_unwrapped(_without_turn_end(answer)).strip(), True)


def divided_so_far(written: str) -> str:
    """What of ``divided(written).answer`` is sure already, though more will be written.

    Empty while reasoning is written, or may have begun. A closing tag whose opening stood in the
    prompt is not waited for: any text could still come to one.
    """
    begun = _TURN_BEGINS.match(written)
    opened = written[begun.end() :] if begun else written
    if _may_open(opened.lstrip()):
        return ""
    if _opens(opened.lstrip()):
        left = (_after_reasoning(opened) or "").lstrip()
        opened = "" if _may_open(left) else _unwrapped(left).strip()
    tail = opened[-_LONGEST_TURN_END:]
    return opened[: len(opened) - len(tail)] + _MAY_END.sub("", tail)


def _may_open(written: str) -> bool:
    return bool(_MAY_OPEN.fullmatch(written)) or any(w.startswith(written) for w in _FIRST_WORDS)


def _opens(written: str) -> bool:
    """Whether a text begins with reasoning."""
    if _HARMONY.match(written) or _CLOSED_AT_ONCE.match(written):
        return True
    if any(opening.match(written) for opening, _ in _FAMILIES):
        return True
    word = next((word for word in _FIRST_WORDS if written.startswith(word)), None)
    return word is not None and not (word == "analysis" and written[len(word)].isspace())


def _without_turn_end(written: str) -> str:
    tail = written[-_LONGEST_TURN_END:]
    return written[: len(written) - len(tail)] + _TURN_ENDS.sub("", tail)


def _after_reasoning(written: str) -> str | None:
    """What follows the reasoning; None if the text does not begin with any."""
    if _HARMONY.match(written.lstrip()):
        return _harmony(written)
    for words in (_HARMONY_BARE, _GRANITE):
        if found := words.match(written.lstrip()):
            return written.lstrip()[found.end() :]
    left, reasoned = written, False
    while (rest := _after_block(left.lstrip())) is not None:
        left, reasoned = rest, True
    if reasoned:
        return left
    return _after_lone_closing(written)


def _harmony(written: str) -> str:
    final = _HARMONY_FINAL.search(written)
    if final is None:
        return ""
    answer = written[final.end() :]
    end = _HARMONY_END.search(answer)
    return answer[: end.start()] if end else answer


def _after_block(written: str) -> str | None:
    """What follows a block of reasoning that stands first; None if none does."""
    if found := _CLOSED_AT_ONCE.match(written):
        return written[found.end() :]
    for opening, closing in _FAMILIES:
        opened = opening.match(written)
        if opened is None:
            continue
        closed = closing.search(written, opened.end())
        if closed is None:
            return ""
        for _ in range(_MOST_TAGS):
            outer = _outer_closing(written, opening, closing, (opened, closed))
            if outer is None:
                break
            opened, closed = closed, outer
        return written[closed.end() :]
    return None


def _outer_closing(
    written: str,
    opening: re.Pattern[str],
    closing: re.Pattern[str],
    block: tuple[re.Match[str], re.Match[str]],
) -> re.Match[str] | None:
    """Where reasoning ends that holds a block of reasoning; None if it ends with that block."""
    opened, closed = block
    if not opening.search(written, opened.end(), closed.start()):
        return None
    outer = closing.search(written, closed.end())
    if outer is None or opening.search(written, closed.end(), outer.start()):
        return None
    return None if _is_mention(written, outer) else outer


def _after_lone_closing(written: str) -> str | None:
    """What follows a closing tag whose opening stood in the prompt; None if there is none."""
    if written.lstrip().startswith(("{", "```")):
        return None
    for opening, closing in _FAMILIES:
        tags = itertools.islice(closing.finditer(written), _MOST_TAGS)
        first = next((tag for tag in tags if not _is_mention(written, tag)), None)
        if first is not None and not opening.search(written, 0, first.start()):
            return written[first.end() :]
    return None


def _is_mention(written: str, tag: re.Match[str]) -> bool:
    """Whether a text writes about the tag: in code, in quotes, in the middle of a sentence."""
    before, after = written[: tag.start()], written[tag.end() :]
    if before.count("```") % 2 or before.rpartition("\n")[2].count("`") % 2:
        return True
    if before[-1:] in _QUOTES and after[:1] in _QUOTES and before and after:
        return True
    if after[:1] and after[0] in ".,;:!?)":
        return True
    return bool(re.search(r"[\w,] \Z", before[-3:]) and re.match(r" [a-z]", after))


def _unwrapped(answer: str) -> str:
    for opening, closing in _WRAPPERS:
        if opened := opening.match(answer.lstrip()):
            return closing.sub("", answer.lstrip()[opened.end() :])
    return answer
