"""``orchestrator ab``: blind, in both orders, to the nano-dollar, and nothing paid for twice."""

import json
from pathlib import Path

import pytest

from orchestrator.comparison.by_judge import BUILTIN_PAIR_RUBRIC
from tests.comparing import TEXTS, Bench, copied_run
from tests.openrouter_runs import JUDGE
from tests.plain_endpoint import MODEL as PLAIN_MODEL
from tests.plain_endpoint import plain_endpoint
from tests.running import Ended, json_lines, orchestrator

LIKED, DISLIKED = "decoherence", "quantum hardware"
TASTE = {LIKED: 0.8, DISLIKED: -0.8}
WORDS = ("ab", "one--run", "two--run", f"--judge={JUDGE}", "--data=fresh.jsonl")


@pytest.fixture
def at(comparing: Bench, small_run: Ended) -> Bench:
    # The template engine writes what its policy likes: only the judge is paid for.
    copied_run(small_run, comparing.folder, "one--run", LIKED)
    copied_run(small_run, comparing.folder, "two--run", DISLIKED)
    return comparing


def test_the_judge_sees_both_texts_in_both_orders_and_nothing_of_who_wrote_them(
    small_run: Ended, workplace: Path
) -> None:
    for name, liked in (("secret-one", LIKED), ("secret-two", DISLIKED)):
        copied_run(small_run, workplace, f"{name}--run", liked, PLAIN_MODEL)
    rows = [{"text": text, "reference": f"Reference of {text}"} for text in TEXTS[:3]]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (workplace / "fresh.jsonl").write_text(lines, encoding="utf-8")

    words = ("ab", "secret-one", "secret-two", f"--judge={PLAIN_MODEL}", "--data=fresh.jsonl")
    with plain_endpoint() as server:
        ended = orchestrator(*words, "--json", cwd=workplace, OPENROUTER_BASE_URL=server.url)

    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    judged = [body for body in server.asked if "verdict" in body["messages"][0]["content"]]
    assert len(judged) == 2 * len(rows)
    # Beside them one small question to each model of each run, and to its judge.
    questions = [body for body in server.asked if body["user"].startswith("question/")]
    assert len(server.asked) == 2 * len(judged) + len(questions)
    (folder,) = (workplace / "runs" / "secret-one--run" / "evaluations").iterdir()
    kept = json_lines((folder / "rows.jsonl").read_text("utf-8"))
    written = {(r["arm"], r["example"]): r["completion"]["text"] for r in kept if r["arm"] in "ab"}
    expected = set()
    for number, row in enumerate(rows, 1):
        a, b = written["a", f"e00{number}"], written["b", f"e00{number}"]
        expected |= {(row["text"], a, b, row["reference"]), (row["text"], b, a, row["reference"])}
    shown = [json.loads(body["messages"][1]["content"]) for body in judged]
    assert {tuple(each.values()) for each in shown} == expected
    assert {tuple(each) for each in shown} == {("question", "first", "second", "reference")}
    rubric = BUILTIN_PAIR_RUBRIC.read_text("utf-8").strip()
    assert all(body["messages"][0]["content"].startswith(rubric) for body in judged)
    everything = json.dumps(judged)
    assert [word for word in ("secret", LIKED, DISLIKED, "template") if word in everything] == []
    # This judge says "first" whatever it reads: every verdict flips, and nothing is won.
    assert found["pairs"]["flipped"] == found["preference"]["ties"] == len(rows)
    assert found["first_place"] == 1
    assert found["preference"]["verdict"] == "INCONCLUSIVE"


def test_the_preferred_run_is_found_the_cost_is_the_bill_and_nothing_is_asked_twice(
    at: Bench,
) -> None:
    at.standin.control("settings", {"preference": TASTE})

    said = at.say(*WORDS)
    found = at.say(*WORDS, "--json").json

    assert at.calls() == 2 * len(TEXTS)
    assert round(found["cost"]["total_usd"] * 1e9) == at.billed() > 0
    assert (found["a"], found["b"]) == ("one--run", "two--run")
    liked = found["preference"]
    assert (liked["a"], liked["share"], liked["verdict"]) == (len(TEXTS), 1, "A PREFERRED")
    assert f"blind, both orders asked: A {len(TEXTS)} · B 0 · tie 0 of 8 prompts" in said.out
    assert "A PREFERRED" in said.out

    swapped = at.say("ab", "two--run", "one--run", *WORDS[3:], "--json").json
    assert swapped["preference"]["verdict"] == "B PREFERRED"
    assert (swapped["preference"]["b"], swapped["preference"]["needed"]) == (len(TEXTS), 0)


def test_a_judge_that_likes_a_place_makes_ties_and_is_told_on(at: Bench) -> None:
    at.standin.control("settings", {"position_bias": 1.0})

    said = at.say(*WORDS)

    assert "order flipped the verdict in 8 of 8 pairs" in said.out
    assert "A preferred 50%" in said.out
    assert "INCONCLUSIVE: no difference to be seen" in said.out
    assert "the text in the first place won 100% of verdicts" in said.out


def test_a_judge_without_a_verdict_is_asked_once_more_and_is_missing_then(at: Bench) -> None:
    useless = {"fault": "bad_json", "model": JUDGE, "body": "pair-e003/k0", "times": None}
    at.standin.control("faults", {"matches": [useless]})

    found = at.say(*WORDS, "--json").json

    assert at.calls() == 2 * len(TEXTS) + 1
    assert found["pairs"]["missing"] == 1
    assert found["preference"]["prompts"] == len(TEXTS) - 1
    assert found["pairs"]["without_text"] == 0
    assert round(found["cost"]["total_usd"] * 1e9) == at.billed()


def test_equal_texts_are_ties_without_a_call(at: Bench, small_run: Ended) -> None:
    copied_run(small_run, at.folder, "same--run", LIKED)

    found = at.say("ab", "one--run", "same--run", *WORDS[3:], "--json").json

    assert at.calls() == 0
    assert found["pairs"] == {
        "total": 8, "judged": 8, "flipped": 0, "identical": 8, "missing": 0, "without_text": 0,
    }  # fmt: skip
    assert found["first_place"] is None
    assert found["preference"]["verdict"] == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("one--run", "one--run", "--judge=x", "--data=fresh.jsonl"), "compared with itself"),
        (("one--run", "nobody", "--judge=x", "--data=fresh.jsonl"), "no run called 'nobody'"),
        (("one--run", "--run", "--judge=x", "--data=fresh.jsonl"), "No such option"),
        ((*WORDS[1:3], "--judge=anthropic/claud", "--data=fresh.jsonl"), "has no model"),
        ((*WORDS[1:3], f"--judge={JUDGE}", "--data=eggs.jsonl"), "matches a domain"),
        ((*WORDS[1:], "--rubric=fresh.jsonl"), "says no known format"),
        ((*WORDS[1:], "--budget=-1"), "give dollars above 0"),
        ((*WORDS[1:3], "--data=fresh.jsonl"), "Missing option '--judge'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(
    at: Bench, words: tuple[str, ...], sentence: str
) -> None:
    at.data("Cook an egg.", name="eggs.jsonl")
    before = sorted(at.folder.rglob("*"))

    said = at.say("ab", *words)

    assert said.code == 2
    assert sentence in said.err
    assert (said.out, at.calls()) == ("", 0)
    assert sorted(at.folder.rglob("*")) == before
