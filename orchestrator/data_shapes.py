"""The shapes that other people's records have, under our names: pairs, instructions, conversations.

A record with a ``text`` is read as it stands. Of another one the prompt is the one column whose
name says so; where two could be it, nothing is guessed. Of a conversation the last user turn is the
prompt, the answer to it the reference; what the system said and the turns before it stay, as the
columns ``system`` and ``history``.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator.wording import listed, short
from shared.errors import UsageError

CONVERSATIONS = ("messages", "conversations", "conversation")
PROMPTS = ("instruction", "prompt", "question", "query", "input", "problem")
#: Prompt -> columns that belong to it: Alpaca's input, Dolly's and SQuAD's context.
BESIDE = {"instruction": ("input", "context"), "question": ("context",)}
REFERENCES = (
    "reference",
    "output",
    "response",
    "completion",
    "answer",
    "answers",
    "target",
    "label",
    "chosen",
    "solution",
)
#: Every name by which a prompt or a reference is known.
KNOWN = frozenset(("text", "context", "domain", "id", *CONVERSATIONS, *PROMPTS, *REFERENCES))

#: Columns that are made of a conversation.
MADE = ("system", "history")

#: What may follow an answer in a text that was made for training.
_END_TOKEN = re.compile(r"(?:</s>|<\|[a-z_]{3,20}\|>|<end_of_turn>|<eos>)\Z")

_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
#: Turns of machines, which are neither question nor answer.
_BETWEEN = frozenset(
    [
        "tool",
        "tool_call",
        "tool_response",
        "function",
        "function_call",
        "function_response",
        "observation",
    ]
)


class Turn(NamedTuple):
    """One turn of a conversation; the role is user, assistant or system."""

    role: str
    content: str


class Shape(NamedTuple):
    """A record under our names."""

    fields: Mapping[str, Any]
    #: Our field -> what was taken for it, in words.
    words: Mapping[str, str] = MappingProxyType({})


def shape(fields: Mapping[str, Any], source: str) -> Shape:
    """The record with a ``text`` if one can be told. UsageError: two columns could be the prompt.

    A ``text`` that ends with its own answer is no prompt: the columns that it was made of are.
    Without any it is given back as it is.
    """
    found = dict(fields)
    if isinstance(found.get("input"), Mapping):
        return Shape(fields)
    words: dict[str, str] = {}
    if "text" not in found:
        _name(found, words, source)
    elif _ends_with_its_answer(found):
        del found["text"]
        _name(found, words, source)
        words["text"] += " (the column text holds the answer too)"
    if turns := _turns(found.get("text"), source):
        _converse(found, words, turns, source)
    if turns := _turns(found.get("reference"), source):
        answers = [turn.content for turn in turns if turn.role == "assistant"]
        found["reference"] = answers[-1] if answers else None
    return Shape(found, words)


def setting(field: str, column: str) -> str:
    """The flag that names the column of a field, as a shell takes it."""
    try:
        tomllib.loads(f"value = {column}")
    except tomllib.TOMLDecodeError:
        value = column
    else:
        value = json.dumps(column, ensure_ascii=False)
    return f"--set {shlex.quote(f'columns.{field}={value}')}"


def _ends_with_its_answer(found: Mapping[str, Any]) -> bool:
    """Whether the ``text`` holds another column's prompt and ends with the answer to it, as the
    ready-made one of Alpaca does: a model would be shown what it is to find."""
    text = found["text"]
    if not isinstance(text, str):
        return False
    whole = _END_TOKEN.sub("", text.rstrip()).rstrip()
    said = {
        column.strip().casefold(): value.strip()
        for column, value in found.items()
        if column != "text" and isinstance(value, str) and value.strip()
    }
    return any(value in text for name, value in said.items() if name in PROMPTS) and any(
        whole.endswith(value) for name, value in said.items() if name in REFERENCES
    )


def _name(found: dict[str, Any], words: dict[str, str], source: str) -> None:
    """Put what is the prompt under ``text``, and what is the reference under ``reference``."""
    columns = {name: column for column in found if (name := column.strip().casefold()) in KNOWN}
    told = [name for name in ("text", *CONVERSATIONS, *PROMPTS) if _says(found, columns.get(name))]
    beside: list[str] = []
    for name in (name for name in told if name in BESIDE):
        beside += [other for other in BESIDE[name] if _says(found, columns.get(other))]
    told = [name for name in told if name not in beside]
    if len(told) > 1:
        both = [columns[name] for name in told]
        raise UsageError(
            f"{source}: the prompt may be {listed([short(name) for name in both], 'or')}. Say"
            f" which one it is: {listed([setting('text', name) for name in both], 'or')}"
        )
    if not told and _has_user(found.get(columns.get("chosen", "")), source):
        told = ["chosen"]
    if not told:
        return
    taken = [columns[name] for name in (*told, *beside)]
    found["text"] = _joined([found.pop(column) for column in taken])
    words["text"] = " + ".join(taken)
    for ours in ("reference", "domain"):
        if ours not in found and ours in columns:
            found[ours] = found.pop(columns[ours])
            words[ours] = columns[ours]
    if "reference" not in found:
        names = [columns[name] for name in REFERENCES if _says(found, columns.get(name))]
        _refer(found, words, names)
    for ours in [ours for ours, theirs in words.items() if ours == theirs]:
        del words[ours]


def _refer(found: dict[str, Any], words: dict[str, str], names: Sequence[str]) -> None:
    if len(names) > 1:
        either = listed([short(name) for name in names], "or")
        words["reference"] = (
            f"none: {either} may be it; say which, as in {setting('reference', names[0])}"
        )
    elif names:
        value = found.pop(names[0])
        inner = isinstance(value, Mapping) and "text" in value
        found["reference"] = value["text"] if inner else value
        words["reference"] = f"{names[0]}.text" if inner else names[0]


def _converse(
    found: dict[str, Any], words: dict[str, str], turns: Sequence[Turn], source: str
) -> None:
    """Put the turns of a conversation, the ``text``, where they belong."""
    column = words.get("text", "a conversation")
    asked = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
    if asked is None:
        raise UsageError(f"{source}: the conversation in {short(column)} has no turn of a user.")
    answers = [turn.content for turn in turns[asked:] if turn.role == "assistant"]
    system = [turn.content for turn in turns if turn.role == "system"]
    history = [turn._asdict() for turn in turns[:asked] if turn.role != "system"]
    found["text"], words["text"] = turns[asked].content, f"{column} (last user turn)"
    parts = (
        ("reference", answers[-1] if answers else None, "the answer to it"),
        ("system", "\n\n".join(system), "system turn"),
        ("history", history, "turns before it"),
    )
    for ours, value, what in parts:
        if value and not _says(found, ours):
            found[ours], words[ours] = value, f"{column} ({what})"


def _says(fields: Mapping[str, Any], column: str | None) -> bool:
    value = fields.get(column) if column is not None else None
    return value is not None and value not in ("", [])


def _joined(values: Sequence[Any]) -> Any:
    """A prompt and what belongs to it as one text; a prompt that is no text as it is."""
    first, *others = values
    if not isinstance(first, str):
        return first
    return "\n\n".join([first, *(text for text in others if isinstance(text, str))])


def _has_user(value: Any, source: str) -> bool:
    return any(turn.role == "user" for turn in _turns(value, source))


def _turns(value: Any, source: str) -> tuple[Turn, ...]:
    """The turns of a conversation; none where the value is something else."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return ()
    if not isinstance(value, list) or not value:
        return ()
    if not all(isinstance(t, Mapping) and {"role", "from"} & t.keys() for t in value):
        return ()
    return tuple(_each_turn(value, source))


def _each_turn(turns: Sequence[Mapping[str, Any]], source: str) -> Iterator[Turn]:
    for number, turn in enumerate(turns, 1):
        said = turn.get("role", turn.get("from"))
        role = _ROLES.get(str(said).strip().casefold())
        if role is None:
            if str(said).strip().casefold() in _BETWEEN:
                continue
            raise UsageError(
                f"{source}: turn {number} is of {short(said)}, which is no role known here: user,"
                " assistant, system, human, gpt, tool. Rename it, or remove the turn."
            )
        content = _content(turn, f"{source}: turn {number}")
        if content:
            yield Turn(role, content)


def _content(turn: Mapping[str, Any], where: str) -> str:
    """A turn's text; parts of text are joined, and a call of a tool has none."""
    content = next((turn[key] for key in ("content", "value", "text") if key in turn), None)
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(part, Mapping) and part.get("type", "text") != "text":
            raise UsageError(
                f"{where} holds {short(part.get('type'))}, and only text can be asked. Remove the"
                " record."
            )
        if text is None:
            continue
        if not isinstance(text, str):
            raise UsageError(f"{where}: its content must be text, found {short(text)}.")
        texts.append(text)
    return "\n".join(texts)
