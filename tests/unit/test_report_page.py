"""Pages: self-contained, well-formed, and harmless whatever stands in the texts from outside."""

import re

import pytest

from orchestrator.report.html.comparison import comparison_page, refuse_unlike
from orchestrator.report.html.facts import Facts, Level, Rollouts, Verdict
from orchestrator.report.html.page import run_page
from orchestrator.report.html.plain_text import line, text
from orchestrator.run_identity import Identity
from shared.errors import UsageError
from tests.reported import GAIN, HOSTILE, Page, facts, sha256

#: Everything by which a page could ask for something.
LOADING = ("src", "srcset", "data", "action", "formaction", "poster", "background", "ping")
NOTHING = Rollouts(0, 0, 0, (), None, (), (), (), (0, 0), ())


def described(word: str) -> Facts:
    """A run with a domain, its every text being ``word``."""
    effect = {"value": 0.1, "low": 0.05, "high": 0.15, "clear": True}
    choice = {"start": 0.2, "now": 0.9, "effect": effect, "parts": {word: effect}, "rollouts": 9}
    domain = {
        "domain": word,
        "rollouts": 9,
        "noise_std": 0.1,
        "choices": [
            *({"kind": kind, "name": word, **choice} for kind in ("concept", "feature")),
            {"kind": "template", "name": word, **choice, "effect": None},
        ],
        "pairs": [{"names": [word, word], "effect": effect, "rollouts": 9}],
        "deployed": {
            "concepts": [word],
            "features": [word],
            "template": 1,
            "template_text": word,
        },
    }
    return facts(word, explained={"domains": [domain]})


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_a_hostile_text_is_only_text(hostile: str, kind: str) -> None:
    harmless, attacked = described("plain"), described(hostile)
    pages = [
        Page(run_page(each) if kind == "run" else comparison_page([each, each]))
        for each in (harmless, attacked)
    ]

    tags = [[element.tag for element in page.elements] for page in pages]
    assert tags[0] == tags[1]
    assert pages[0].inside == pages[1].inside
    assert "".join(line(hostile, 80).split()) in "".join(pages[1].text.split())


@pytest.mark.parametrize("hostile", ["plain", *HOSTILE])
@pytest.mark.parametrize("read_with_care", [True, False])
def test_a_page_is_utf8_without_controls_or_turned_directions(
    hostile: str, read_with_care: bool
) -> None:
    html = run_page(described(hostile) if read_with_care else facts(run=hostile, notes=(hostile,)))

    html.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_page_asks_nobody_for_anything(hostile: str) -> None:
    page = Page(run_page(described(hostile)))

    for element in page.elements:
        for name, value in element.attributes.items():
            assert name not in LOADING, element
            assert not name.startswith("on"), element
            # A style attribute would need a policy that lets completions bring theirs.
            assert name != "style", element
            if name == "href":
                assert value is not None
                assert value.startswith("#") or value == "data:,", element
    for sheet in page.inside["style"]:
        assert "url(" not in sheet
        assert "@import" not in sheet


def test_the_policy_allows_our_one_style_and_one_script_and_nothing_else() -> None:
    page = Page(run_page(facts()))
    (style,), (script,) = page.inside["style"], page.inside["script"]

    rules = dict(rule.strip().split(" ", 1) for rule in page.policy().split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": sha256(style),
        "script-src": sha256(script),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_verdict_is_the_first_sentence() -> None:
    page = Page(run_page(facts(verdict=Verdict("NO EVIDENCE", "It may be chance.", "8 prompts"))))

    (h1,) = page.tags("h1")
    before = page.text[: page.text.index("It may be chance.")]
    assert before.split()[-2:] == ["NO", "EVIDENCE"]
    assert h1.tag in {element.tag for element in page.elements[: page.elements.index(h1) + 1]}


def test_every_chart_says_in_words_what_it_shows_and_has_its_numbers() -> None:
    html = run_page(described("d"))
    page = Page(html)

    charts = [e for e in page.tags("svg") if e.attributes.get("class") == "chart"]
    assert len(charts) >= 6
    assert len(page.tags("desc")) == len(charts)
    assert len([e for e in page.tags("details") if e.attributes.get("class") == "data"]) == len(
        charts
    )


def test_a_run_of_which_nothing_is_known_has_a_page_too() -> None:
    empty = facts(
        heldout=None, against_plain=None, evaluations=(), plain=None, gains=(), series={},
        moved={}, instrument=(), roles=(), cost_usd=0.0, faults={}, rollouts=NOTHING, alarms=(),
        settings=(), notes=(), final_rewards={}, seconds=None, steps_done=0,
    )  # fmt: skip

    page = Page(run_page(empty))
    assert "Every setting is at its default." in page.text
    Page(comparison_page([empty, empty]))


def test_a_long_text_is_cut_and_says_how_much_is_missing() -> None:
    long = "x" * 1_000_000
    html = run_page(described(long))

    assert len(html) < 200_000
    assert "996,000 more characters; rollouts.jsonl has the whole text" in html


def test_texts_keep_what_people_write() -> None:
    kept = "Zeile\n\tzwei: \u05e9\u05dc\u05d5\u05dd \u200f, \u4e2d\u6587, \U0001f600 \u00e9"
    assert text(kept, 100) == (kept, 0)
    assert text("a\x00b", 10).shown == "a\u2400b"
    assert text("\u202eabc", 10).shown == "⟨U+202E⟩abc"
    assert text("\ud83d", 10).shown == "?"
    assert text("abcdef", 4) == ("abcd", 2)
    assert line(" a\nb \u2028 c ", 10) == "a b c"
    assert line("abcdef", 4) == "abcd…"


def test_runs_with_other_data_or_rewards_are_not_compared() -> None:
    first = facts(run="A")
    other = facts(run="B", identity=Identity("other", first.identity.reward))

    refuse_unlike([first, first])
    with pytest.raises(UsageError, match=r"B differs from A in its data: .*--force"):
        refuse_unlike([first, other])
    assert "B differs from A in its data" in Page(comparison_page([first, other])).text


def test_a_comparison_pairs_the_trained_policies_prompt_by_prompt() -> None:
    worse = {name: value - 0.1 for name, value in facts().final_rewards.items()}

    page = Page(comparison_page([facts(), facts(final_rewards=worse)]))
    assert "B is worse than A: -0.100, 95% interval -0.100 to -0.038 on 10 held-out" in page.text


def test_dollars_are_drawn_only_where_some_were_spent() -> None:
    free = facts(cost_usd=0.0)
    assert "Reward over dollars" in run_page(facts())
    assert "Reward over dollars" not in run_page(free)
    assert "Nothing was paid for." in run_page(free)


def test_a_level_without_an_interval_is_drawn_without_one() -> None:
    single = (Level(0, 0.0, 0.5, None, None, 1), Level(1, 0.0, 0.6, None, None, 1))
    html = run_page(facts(evaluations=single, gains=(), heldout=GAIN))
    assert 'class="bar c2"' not in html
    assert 'class="dot c2"' in html
