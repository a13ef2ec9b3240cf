"""Answers in the format that was asked for: an instance of a schema, JSON by guess, or text."""

import json
import re
from dataclasses import dataclass
from random import Random
from typing import Any

from pydantic import ValidationError

from orchestrator.standin.asking import Ask
from orchestrator.standin.catalog import Model
from orchestrator.standin.faults.errors import refusal
from orchestrator.standin.judging import judged_text, merit
from orchestrator.standin.pairing import pair, verdict
from orchestrator.standin.schemas import MAX_DEPTH, Schema
from orchestrator.standin.settings import Settings
from orchestrator.standin.writing import explanation

TEXTS = {"answer", "completion", "content", "explanation", "generated", "output", "text"}
SCORES = {"confidence", "grade", "points", "quality", "rating", "score", "value"}
WHOLE_SCORES = SCORES - {"confidence", "quality"}
#: Keys that a prompt shows in quotes: {"reason": ..., "score": ...}
SHOWN_KEY = re.compile(r'"(\w{2,30})"\s*:')
SCORE_LINE = re.compile(r"\bscore\s*:", re.IGNORECASE)
OUT_OF_100 = re.compile(r"(?:0\s*(?:-|–|to|\.\.)\s*|out of |/\s*)100\b", re.IGNORECASE)


def answer(ask: Ask, model: Model, settings: Settings, source: Random) -> str:
    """The content of the message."""
    if shown := pair(ask.texts("user")):
        return _json(verdict(shown, settings, source))
    writer = _Writer(ask, settings, source)
    # A format that the model does not know is ignored, as OpenRouter does.
    kind = ask.response_format.get("type")
    if kind == "json_schema" and "structured_outputs" in model.parameters:
        return _json(writer.instance(_schema(ask.response_format.get("json_schema"))))
    keys = list(dict.fromkeys(SHOWN_KEY.findall("\n".join(ask.texts()))))
    if kind in ("json_object", "json_schema") and "response_format" in model.parameters:
        return _json(writer.guess(keys))
    if TEXTS & set(keys) or SCORES & set(keys):
        return f"Sure. Here it is:\n{_json(writer.guess(keys))}"
    if SCORE_LINE.search("\n".join(ask.texts())):
        return f"{writer.reason()}\nscore: {writer.whole(0, writer.top())}"
    return writer.text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@dataclass(slots=True)
class _Writer:
    ask: Ask
    settings: Settings
    source: Random
    _text: str | None = None
    _merit: float | None = None
    #: Whether a text is written, rather than one judged that was sent.
    _writes: bool = False

    @property
    def text(self) -> str:
        """The explanation that this answer contains."""
        if self._text is None:
            self._text = explanation((self.ask.texts("user") or self.ask.texts())[-1], self.source)
        return self._text

    @property
    def merit(self) -> float:
        """How good the text is that this answer writes or judges."""
        if self._merit is None:
            sent = "\n".join(self.ask.texts("user") or self.ask.texts())
            text = self.text if self._writes else judged_text(sent)
            settings = self.settings
            self._merit = merit(text, settings.preference, settings.noise, self.source)
        return self._merit

    def top(self) -> int:
        """The best score on the scale that the prompt names."""
        return 100 if OUT_OF_100.search("\n".join(self.ask.texts())) else 10

    def whole(self, low: int, high: int) -> int:
        """The merit as a whole number."""
        return low + round(self.merit * (high - low))

    def reason(self) -> str:
        """A sentence that fits the merit."""
        if self.merit > 0.66:
            return "It is clear, well organised and rests on the right ideas."
        if self.merit > 0.4:
            return "It is correct in the main, but leaves out some of what matters."
        return "It misses the main ideas and is hard to follow."

    def guess(self, keys: list[str]) -> dict[str, Any]:
        """An object with the keys that the prompt shows, or the usual ones."""
        if not keys:
            sent = "\n".join(self.ask.texts()).lower()
            keys = ["reason", "score"] if "score" in sent else ["generated", "quality"]
        self._writes = bool(TEXTS & set(keys))
        return {key: self._guessed(key) for key in keys}

    def _guessed(self, key: str) -> Any:
        if key in WHOLE_SCORES:
            return self.whole(0, self.top())
        return round(self.merit, 3) if key in SCORES else self._string(key)

    def _string(self, key: str) -> str:
        return self.text if key in TEXTS else self.reason()

    def instance(self, schema: Schema) -> Any:
        """A value that the schema allows."""
        self._writes = bool(TEXTS & set(schema.behind(schema).properties or ()))
        return self._value("", schema, schema, 0)

    def _value(self, key: str, schema: Schema, root: Schema, depth: int) -> Any:
        schema = schema.behind(root)
        if schema.const is not None:
            return schema.const
        if schema.enum:
            return schema.enum[self.whole(0, len(schema.enum) - 1)]
        match schema.kind:
            case "string":
                return self._string(key)
            case "integer":
                low, high = schema.span(10)
                return self.whole(round(low), round(high))
            case "number":
                low, high = schema.span(1)
                return round(low + self.merit * (high - low), 3)
            case "boolean":
                return self.merit > 0.5
            case "array" if depth < MAX_DEPTH:
                items = schema.items if isinstance(schema.items, Schema) else Schema()
                return [self._value(key, items, root, depth + 1) for _ in range(schema.fewest)]
            case "object" if depth < MAX_DEPTH:
                return {
                    name: self._value(name, each, root, depth + 1)
                    for name, each in (schema.properties or {}).items()
                }
        return None


def _schema(asked: Any) -> Schema:
    try:
        return Schema.model_validate(asked.get("schema") or {} if isinstance(asked, dict) else {})
    except ValidationError:
        # As a provider does with a schema that it cannot read.
        raise refusal("bad_request") from None
