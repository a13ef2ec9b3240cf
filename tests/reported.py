"""Facts of a made-up run, for tests of pages, and a reader of the HTML they become."""

import base64
import hashlib
from html.parser import HTMLParser
from typing import Any, NamedTuple

from orchestrator.paired import Comparison
from orchestrator.report.html.facts import (
    Curve,
    Facts,
    Failed,
    File,
    Latency,
    Level,
    Moved,
    Reproduction,
    Role,
    Rollouts,
    Setting,
    Verdict,
)
from orchestrator.report.html.plain_text import line
from orchestrator.report.html.shown_rollout import shown
from orchestrator.run_identity import Identity

#: What models write, and what pages must survive.
HOSTILE = (
    "<script>alert('first')</script>",
    "</style><style>body{display:none}</style>",
    "</details></main></body><h1 onclick=alert(2)>owned</h1>",
    '"><img src=//evil.example/x onerror="alert(3)">',
    "{{ 7 * 7 }} {% raw %} ${x} <!-- -->",
    "&lt;script&gt; &amp; &#0; ]]>",
    "\u202eright to left \u2066isolate\u200f \u05d0\u05d1",
    "a\x00null\x1b[31m\x07\ufffe",
    "half \ud83d and other half \ude00",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 e\u0301\u0301\u0301",
)
GAIN = Comparison(24, 0.6, 0.8, 0.2, 0.15, 0.25, 22, 1)


def row(**changes: Any) -> dict[str, Any]:
    """A row of ``rollouts.jsonl``."""
    return {
        "purpose": "train",
        "step": 1,
        "update": 1,
        "group": "e1",
        "slot": 0,
        "example": "e1",
        "domain": "d",
        "policy_version": 0,
        "prompt": "Explain it.",
        "concepts": ["a", "b"],
        "template": 0,
        "features": ["f"],
        "log_prob": -1.5,
        "completion": completion("It is so."),
        "reward": 0.5,
        "parts": {"length": 0.5},
        "feedback": "Length: 0.50",
        "judged": [],
        "rejudged": [],
        "asked_again": 0,
        "advantage": 0.1,
        "failure": None,
        **changes,
    }


def completion(text: str, seconds: float = 1.0, model: str = "m") -> dict[str, Any]:
    """The completion of a row."""
    return {
        "text": text,
        "quality": None,
        "model": model,
        "provider": "p",
        "finish_reason": "stop",
        "native_finish_reason": None,
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "cost_usd": 0.001,
        "seconds": seconds,
        "attempts": 1,
    }


def rollouts(word: str, levels: tuple[Level, ...]) -> Rollouts:
    """Rollouts whose every text from outside is ``word``."""
    name = line(word)
    best = row(
        domain=word,
        prompt=word,
        concepts=[word],
        features=[word],
        completion=completion(word, model=word),
        parts={word: 0.5},
        feedback=word,
    )
    return Rollouts(
        trained=10,
        held_out=5,
        without_reward=1,
        levels=levels,
        latency=Latency(10, 0.1, 0.2, 0.3, ((0.05, 0.1, 4), (0.1, 0.5, 6))),
        failures=(Failed(name, 1, 0, name),),
        answered_by=((name, name, 10),),
        finish_reasons=((name, 10),),
        tokens=(100, 200),
        shown=(shown(best, "best", True),),
    )


def facts(word: str = "d", **changes: Any) -> Facts:
    """A run whose every text from outside is ``word``, read as reports read."""
    name = line(word)
    course = ((0.0, 0.2), (1.0, 0.5), (2.0, 0.9))
    levels = tuple(Level(s, 0.01 * s, 0.5 + 0.1 * s, 0.4, 0.8, 8) for s in (0, 1, 2))
    values: dict[str, Any] = {
        "run": name,
        "model": name,
        "judges": (name,),
        "rewards": {name: 1.0},
        "verdict": Verdict("IMPROVED", name, name),
        "steps_done": 2,
        "steps_planned": 3,
        "seconds": 3.0,
        "stopped": name,
        "heldout": GAIN,
        "against_plain": GAIN,
        "so_far": None,
        "measures": (),
        "evaluations": levels,
        "plain": levels[0],
        "gains": levels[1:],
        "final_rewards": {f"h{i}": 0.5 + 0.01 * i for i in range(10)},
        "series": {name: Curve(name, course) for name in ("entropy", "kl", "cost/total")},
        "moved": {
            word: (
                Moved("concept", line(word, 80), course),
                Moved("template", "template 1", course),
            )
        },
        "explained": None,
        "instrument": (name,),
        "roles": (Role("generate", 10, 0.1, 0.01, 0.001),),
        "cost_usd": 0.11,
        "faults": {name: 3},
        "rollouts": rollouts(word, levels),
        "alarms": ((2, name),),
        "skipped": (name,),
        "settings": (Setting("seed", name, "0", name),),
        "config": {"algorithm.solver": "natural", "seed": name},
        "reproduction": Reproduction(name, name, (File("train", name, "00"),), (("python", name),)),
        "identity": Identity("da7a", "4e3a4d"),
        "notes": (name,),
    }
    return Facts(**(values | changes))


class Element(NamedTuple):
    """A start tag."""

    tag: str
    attributes: dict[str, str | None]


class Page(HTMLParser):
    """A page as a browser reads it: its elements, its visible words, its scripts and styles."""

    VOID = frozenset({"meta", "link", "input", "br", "hr", "img", "base"})
    #: Of SVG, written as <line … />.
    DRAWN = frozenset({"line", "circle", "rect", "polygon", "polyline"})

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.words: list[str] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    @property
    def text(self) -> str:
        return "".join(self.words)

    def tags(self, name: str) -> list[Element]:
        return [element for element in self.elements if element.tag == name]

    def policy(self) -> str:
        """The content security policy."""
        (meta,) = [
            element.attributes["content"] or ""
            for element in self.tags("meta")
            if element.attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        return meta

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.DRAWN, tag
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.inside:
            self.inside[self._open[-1]].append(data)
        else:
            self.words.append(data)


def sha256(text: str) -> str:
    """As a content security policy names a source."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
