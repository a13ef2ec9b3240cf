"""Reads the text files that people write; each way they fail has an error that says what to do."""

import difflib
import stat
from collections.abc import Sequence
from pathlib import Path

from orchestrator.wording import listed
from shared.errors import UsageError


def read_text(path: Path, suffixes: Sequence[str]) -> str:
    """The file's text without byte order mark, lines ended by "\\n".

    UsageError: missing, a directory, unreadable, a suffix not in ``suffixes``, not UTF-8, empty,
    NUL bytes.
    """
    check_regular_file(path, suffixes)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}. Check its permissions."
        ) from error
    return decoded(content, path)


def decoded(content: bytes, path: Path) -> str:
    """The text of ``content``, as of a file called ``path``. UsageError as ``read_text``."""
    text = _decode(content, path).replace("\r\n", "\n")
    if not text.strip():
        raise UsageError(f"{path}: the file is empty. Fill it, or name another file.")
    return text


def check_regular_file(path: Path, suffixes: Sequence[str]) -> None:
    """UsageError: missing, a directory, a pipe, or a suffix not in ``suffixes``."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{path}: no such file. {_near_names(path, suffixes)}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}. Name another file.") from error
    accepted = listed(suffixes, "or")
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path}: is a directory. Name a {accepted} file in it.")
    if path.suffix.lower() not in suffixes:
        raise UsageError(
            f"{path}: the suffix {path.suffix!r} says no known format. Use {accepted}."
        )
    if not stat.S_ISREG(mode):
        raise UsageError(
            f"{path}: is not a regular file. Save its content as a {accepted} file first."
        )


def _near_names(path: Path, suffixes: Sequence[str]) -> str:
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f"Its folder {str(path.parent)!r} cannot be listed: check the path."
    near = difflib.get_close_matches(path.name, names, n=3)
    if near:
        return f"Did you mean {listed([repr(name) for name in near], 'or')}?"
    fitting = [repr(name) for name in names if Path(name).suffix.lower() in suffixes][:5]
    if fitting:
        return f"In that folder: {listed(fitting)}."
    return f"That folder holds no {listed(suffixes, 'or')} file: check the path."


def _decode(content: bytes, path: Path) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError(f"{path}:1: is UTF-16, not UTF-8. Save it as UTF-8.")
    at = content.find(b"\0")
    if at >= 0:
        raise UsageError(
            f"{path}:{_line(content, at)}: holds a NUL byte: a binary file, or UTF-16. "
            "Save it as UTF-8 text."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # utf-8-sig counts from behind the mark, so the position is taken from the bytes themselves.
        at = error.start + len(content) - len(error.object)
        raise UsageError(
            f"{path}:{_line(content, at)}: is not UTF-8: byte {content[at]:#04x}. "
            "Save it as UTF-8 (from Latin-1: iconv -f latin1 -t utf-8)."
        ) from error


def _line(content: bytes, at: int) -> int:
    return content.count(b"\n", 0, at) + 1
