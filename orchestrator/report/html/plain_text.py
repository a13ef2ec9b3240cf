"""Text from outside, made harmless to look at: models write what they like.

HTML is escaped by the templates. Here goes what escaping leaves: characters that HTML forbids or
that reorder the page around them, half characters, and length.
"""

from typing import NamedTuple

#: Controls have pictures of their own: NUL is U+2400.
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {
    0x7F: 0x2421
}
#: C1 controls and what no character ever is.
_NOTHING = [*range(0x80, 0xA0), 0xFFFE, 0xFFFF, 0xFEFF]
#: Embeddings, overrides and isolates of direction: an unclosed one turns round what follows it.
_TURNING = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_VISIBLE: dict[int, int | str] = {
    **_CONTROLS,
    **dict.fromkeys(_NOTHING, 0xFFFD),
    **{code: f"⟨U+{code:04X}⟩" for code in _TURNING},
    0x2028: "\n",
    0x2029: "\n",
}


class Text(NamedTuple):
    """A text as the page shows it."""

    shown: str
    #: Characters that were left out at its end.
    left_out: int = 0


def text(value: object, most: int) -> Text:
    """At most so many characters of ``value``, with every character visible and valid UTF-8."""
    whole = value if isinstance(value, str) else str(value)
    return Text(visible(whole[:most]), max(0, len(whole) - most))


def line(value: object, most: int = 200) -> str:
    """The same on one line, cut with an ellipsis: for names and labels."""
    whole = value if isinstance(value, str) else str(value)
    shown = " ".join(visible(whole[: most + 1]).split())
    return shown if len(whole) <= most else f"{shown[:most]}…"


def visible(value: str) -> str:
    """``value`` with pictures or question marks in the place of what must not stand in a page."""
    unpaired = value.encode("utf-8", "replace").decode("utf-8")
    return unpaired.replace("\r\n", "\n").translate(_VISIBLE)
