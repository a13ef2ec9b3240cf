"""What this process prints: shown harmlessly on a terminal, exact in a pipe, and never its end.

Models, endpoints and data write what they like; a terminal obeys what it is sent. So on a terminal
every character that is not plain text is shown as a picture of itself. A character that the
encoding lacks becomes "?", and a reader that leaves takes nothing but the output with it.
"""

import codecs
import io
import os
import sys
from typing import TextIO, cast

from shared.errors import EnvironmentNotReady

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

#: ASCII under a name that click does not take for a mistake, to print UTF-8 instead.
_PLAIN_ASCII = "concept_grpo_ascii"


def visible(value: str) -> str:
    """``value`` with pictures or question marks in the place of what must not be obeyed."""
    unpaired = value.encode("utf-8", "replace").decode("utf-8")
    return unpaired.replace("\r\n", "\n").translate(_VISIBLE)


class Printed(io.TextIOWrapper):
    """A standard stream of this process. Made by ``print_harmlessly``."""

    #: Whoever read this stream has closed it: what is written from now on goes nowhere.
    reader_left = False

    def write(self, text: str, /) -> int:
        """Write, on a terminal as ``visible`` has it.

        Raises EnvironmentNotReady where the output goes to a full disk.
        """
        return self.write_styled(visible(text) if self.isatty() else text)

    def write_styled(self, text: str) -> int:
        """Write what holds control sequences of ours."""
        try:
            super().write(text)
        except OSError as error:
            self._go_on_nowhere(error)
        return len(text)

    def flush(self) -> None:
        """Flush. Raises as ``write`` does."""
        try:
            super().flush()
        except OSError as error:
            self._go_on_nowhere(error)

    def _go_on_nowhere(self, error: OSError) -> None:
        self.reader_left = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise EnvironmentNotReady(
                f"the output of this command cannot be written: {error.strerror or error}"
            ) from None


class _Styled:
    """A ``Printed`` for a library that draws, such as rich."""

    def __init__(self, stream: Printed) -> None:
        self._stream = stream
        self.write = stream.write_styled

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def styled(stream: TextIO) -> TextIO:
    """The stream for what draws with control sequences; its texts must be ``visible`` before."""
    return cast(TextIO, _Styled(stream)) if isinstance(stream, Printed) else stream


def reader_left(stream: TextIO) -> bool:
    """Whether nobody reads the stream any more."""
    return isinstance(stream, Printed) and stream.reader_left


def print_harmlessly() -> None:
    """Have standard output and error of this process print as this file says."""
    codecs.register(_plain_ascii)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            stream = _nowhere(descriptor)
        # Another class where a test or a notebook reads it.
        if type(stream) is not io.TextIOWrapper:
            continue
        encoding = codecs.lookup(stream.encoding).name
        buffering = {k: getattr(stream, k) for k in ("line_buffering", "write_through")}
        printed = Printed(
            stream.detach(),
            encoding=_PLAIN_ASCII if encoding == "ascii" else encoding,
            errors="replace",
            **buffering,
        )
        printed.reader_left = getattr(sys, name) is None
        setattr(sys, name, printed)
        setattr(sys, f"__{name}__", printed)


def _nowhere(descriptor: int) -> io.TextIOWrapper:
    """The null device in the place of a standard stream that was closed before this process began.

    It takes the descriptor too if that is free: the next file or socket would get it, and what a
    child prints would go there.
    """
    opened = os.open(os.devnull, os.O_WRONLY)
    try:
        os.fstat(descriptor)
    except OSError:
        os.dup2(opened, descriptor)
    if opened == descriptor:
        os.set_inheritable(opened, True)
    return io.TextIOWrapper(open(opened, "wb"), encoding="utf-8")  # noqa: PTH123


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    if name != _PLAIN_ASCII:
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_.encode,
        ascii_.decode,
        ascii_.streamreader,
        ascii_.streamwriter,
        ascii_.incrementalencoder,
        ascii_.incrementaldecoder,
        name=_PLAIN_ASCII,
    )
