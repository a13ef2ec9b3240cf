"""Templates of an answer: text with {topic}, {concept} and {feature}, filled as plain text.

Nothing is ever ``str.format``-ed, so neither a template nor the words in it can reach objects.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.wording import listed, short
from shared.errors import UsageError

PLACEHOLDERS = ("topic", "concept", "feature")
#: Stands for {feature} when an action has none: true of any topic, singular and plural.
NO_FEATURES = "related ideas"

_BRACES = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
#: Text after which a sentence starts: none, one ended by . ! or ?, an empty line, a list mark.
_SENTENCE_START = re.compile(
    r"""(?: ^\s*
          | (?<!e\.g)(?<!i\.e)(?<!\bcf)(?<!\bvs) [.!?]["')\]]*\s+
          | \n[ \t]*\n\s*
          | (?:^|\n)[ \t]*(?:[-*•]|\d+[.)])[ \t]+
        )["'(]?$""",
    re.VERBOSE,
)


class _Piece(NamedTuple):
    """Literal text, or a placeholder by name."""

    text: str
    is_placeholder: bool
    starts_sentence: bool = False


@dataclass(frozen=True)
class Template:
    """A checked template."""

    #: As it was written.
    text: str
    _pieces: tuple[_Piece, ...]

    @classmethod
    def parse(cls, text: str, where: str) -> "Template":
        """Check a template; ``where`` names its file and place for the message.

        UsageError: braces that are neither a placeholder nor doubled, or no {concept}.
        """
        pieces: list[_Piece] = []
        literal, at = "", 0
        for brace in _BRACES.finditer(text):
            literal += text[at : brace.start()]
            at = brace.end()
            if brace[0] in ("{{", "}}"):
                literal += brace[0][0]
                continue
            name = brace[0][1:-1]
            if name not in PLACEHOLDERS:
                raise UsageError(_refusal(brace[0], where))
            starts = bool(_SENTENCE_START.search(text[: brace.start()]))
            pieces += [_Piece(literal, False), _Piece(name, True, starts)]
            literal = ""
        pieces.append(_Piece(literal + text[at:], False))
        if not any(piece.is_placeholder and piece.text == "concept" for piece in pieces):
            raise UsageError(
                f"{where}: {short(text)} has no {{concept}}. Put {{concept}} where the chosen "
                "concepts belong."
            )
        return cls(text, tuple(pieces))

    def fill(self, topic: str, concepts: Sequence[str], features: Sequence[str]) -> str:
        """The template as text; lists are joined as English does, no features read NO_FEATURES.

        A placeholder at the start of a sentence gets a capital letter.
        """
        values = {
            "topic": topic,
            "concept": listed(concepts),
            "feature": listed(features) or NO_FEATURES,
        }
        filled = []
        for piece in self._pieces:
            value = values[piece.text] if piece.is_placeholder else piece.text
            filled.append(value[:1].upper() + value[1:] if piece.starts_sentence else value)
        return "".join(filled)


def _refusal(braces: str, where: str) -> str:
    allowed = listed([f"{{{name}}}" for name in PLACEHOLDERS], "or")
    if braces in ("{", "}"):
        problem = f"a single {braces!r} has no partner"
    else:
        problem = f"{short(braces)} is not a placeholder"
    return (
        f"{where}: {problem}. Write {allowed} exactly so; for literal braces write {{{{ and }}}}."
    )
