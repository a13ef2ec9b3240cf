"""Text from outside, made harmless to look at: models write what they like.

HTML is escaped by the templates. What escaping leaves is done by
``shared.terminal.visible``, as on a terminal; here goes length.
"""

from typing import NamedTuple

from shared.terminal import visible


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
