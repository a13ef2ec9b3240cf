"""The parts of a report: charts, verdicts, settings."""

import json
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import cli
from orchestrator.config import Columns, RunConfig
from orchestrator.paired import Comparison
from orchestrator.report.html.charts.cells import course, interval, reach
from orchestrator.report.html.charts.histogram import histogram
from orchestrator.report.html.charts.lines import WIDTH, Axes, Interval, Line, line_chart
from orchestrator.report.html.charts.scales import dollars, number, outward, percent, seconds, ticks
from orchestrator.report.html.facts import Level
from orchestrator.report.html.reproduction import changed, reproduction
from orchestrator.report.html.verdict import verdict
from orchestrator.run_directory import RunDirectory
from tests.plain_endpoint import plain_endpoint

AXES = Axes("A <chart>", "step", "reward")


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0.5)],
        [(0, 0.0), (1, 0.0)],
        [(1, 1e-12), (2, 1e12)],
        [(5, -1), (5, 1)],
        [(0, 0.1)] * 300,
    ],
)
def test_charts_are_well_formed_and_stay_inside(points: list[tuple[float, float]]) -> None:
    around = [Interval(x, y - 1, y + 1) for x, y in points]
    for marked in (False, True):
        svg = ET.fromstring(line_chart(AXES, [Line("a & b", points, 1, around, marked)]))
        left, top, width, height = map(float, svg.attrib["viewBox"].split())
        for line in svg.iter("polyline"):
            for pair in line.attrib["points"].split():
                x, y = map(float, pair.split(","))
                assert left <= x <= width
                assert top <= y <= height


def test_a_chart_of_nothing_is_nothing() -> None:
    assert line_chart(AXES, [Line("a", [], 1)]) == ""


def test_small_pictures_are_well_formed() -> None:
    ET.fromstring(course([(0, 0.5), (3, 0.9)], "<a>"))
    ET.fromstring(course([(0, 0.5)], "a"))
    ET.fromstring(interval(0.1, 0.0, 0.2, reach([(0.0, 0.2)]), "a"))
    ET.fromstring(interval(0.0, 0.0, 0.0, reach([]), "a"))
    ET.fromstring(histogram("a", [(0.1, 0.2, 3)], [("p50", 0.15)], seconds))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.61, 0.912), (-3e-5, 7e-5), (12, 9_876)])
def test_axes_have_few_round_marks(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 7
    assert all(low <= mark <= high for mark in marks)
    start, end = outward(low, high)
    assert start <= low
    assert end >= high


def test_numbers_are_said_as_people_say_them() -> None:
    assert [number(v) for v in (0, 0.25, 12.0, 12_345.6, 2e-6)] == [
        "0", "0.25", "12", "12,346", "2e-6"
    ]  # fmt: skip
    assert [dollars(v) for v in (0, 0.05, 0.00012, 12.5, 3)] == [
        "$0", "$0.05", "$0.00012", "$12.50", "$3"
    ]  # fmt: skip
    assert [percent(v) for v in (0, 0.0043, 0.5)] == ["0%", "0.43%", "50%"]
    assert [seconds(v) for v in (0, 0.0034, 2.5, 300)] == ["0", "3.4 ms", "2.5 s", "5 min"]


def compared(low: float, high: float, prompts: int = 20) -> Comparison:
    return Comparison(prompts, 0.5, 0.5 + (low + high) / 2, (low + high) / 2, low, high, 12, 5)


def test_a_verdict_says_no_more_than_its_interval() -> None:
    ended = {"steps": 3}
    said = {
        word: verdict(compared(*ends), None, ended, None)
        for word, ends in (
            ("IMPROVED", (0.1, 0.2)), ("WORSE", (-0.2, -0.1)), ("NO EVIDENCE", (-0.1, 0.2))
        )
    }  # fmt: skip
    assert {word: found.word for word, found in said.items()} == {word: word for word in said}
    assert "rose from 0.500 to 0.650: +0.150" in said["IMPROVED"].sentence
    assert "fell" in said["WORSE"].sentence
    assert "may be chance" in said["NO EVIDENCE"].sentence
    few = verdict(compared(0.1, 0.2, prompts=3), None, ended, None)
    assert (few.word, "6 prompts are the fewest" in few.sentence) == ("NO EVIDENCE", True)


def test_a_report_opens_with_the_worse_of_both_comparisons() -> None:
    ended = {"steps": 3}
    up, level, down = compared(0.1, 0.2), compared(-0.1, 0.2), compared(-0.2, -0.1)

    found = verdict(up, None, ended, None, down, has_plain=True)
    assert found.word == "WORSE"
    assert found.sentence.startswith("The trained policy is worse than the plain prompt")
    assert "rose from 0.500 to 0.650" in found.sentence
    found = verdict(up, None, ended, None, level, has_plain=True)
    assert found.word == "NO EVIDENCE"
    assert found.sentence.startswith("The trained policy is not shown to be better than")
    found = verdict(up, None, ended, None, up, has_plain=True)
    assert (found.word, "is better than the plain" in found.sentence) == ("IMPROVED", True)
    found = verdict(up, None, ended, None, None, has_plain=True)
    assert (found.word, "could not be compared" in found.sentence) == ("NO EVIDENCE", True)


def test_a_run_that_has_not_ended_is_not_judged() -> None:
    level = Level(4, 0.0, 0.1, 0.05, 0.15, 20)
    found = verdict(compared(0.1, 0.2), level, None, "the budget is used up")
    assert found.word == "UNFINISHED"
    assert "the budget is used up" in found.sentence
    assert "After step 4 the held-out reward was +0.100 against the start" in found.sentence
    assert verdict(None, None, {"steps": 3}, None).word == "NOT MEASURED"


CHANGED = RunConfig.model_validate(
    {
        "seed": 7,
        "model": "some/model",
        "base_prompt": "Say 'it' \"plainly\" = $HOME\n{once}",
        "max_steps": 3,
        "domains": ["quantum-computing"],
        "reward_funcs": ["length", "quality"],
        "reward_weights": [0.4, 0.6],
        "reward_options": {"length": {"target_words": 80}},
        "routing": {"order": ["a", "b"], "allow_fallbacks": False},
        "algorithm": {"solver": "clipped", "learning_rate": 0.1, "loss_type": "gspo"},
        "max_minutes": 2.5,
    }
)


def test_settings_that_differ_are_all_and_only_those() -> None:
    assert list(changed(RunConfig())) == []
    rows = {setting.key: setting for setting in changed(CHANGED)}
    assert set(rows) == {
        "seed", "base_prompt", "max_steps", "domains", "reward_funcs", "reward_weights",
        "model", "reward_options.length", "routing", "algorithm.solver", "algorithm.learning_rate",
        "algorithm.loss_type", "max_minutes",
    }  # fmt: skip
    assert rows["algorithm.learning_rate"][1:3] == ("0.1", "0.2")
    assert rows["max_steps"].meaning.startswith("Updates of the policy")


def test_the_command_of_a_report_makes_the_same_settings(tmp_path: Path) -> None:
    data = tmp_path / "my data.jsonl"
    data.write_text(
        '{"text": "Explain qubits", "number": "a"}\n{"text": "Explain a qubit", "number": "b"}\n',
        "utf-8",
    )
    config = CHANGED.model_copy(
        update={
            "data": str(data),
            "max_cost_usd": 1.5,
            "prices": {"some/model": (1.0, 2.0)},
            "columns": Columns(id="number"),
        }
    )

    command = reproduction(RunDirectory(tmp_path), config).command
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("orchestrator", "run")

    with plain_endpoint() as endpoint:
        told = CliRunner(env={"OPENROUTER_BASE_URL": endpoint.url}).invoke(
            cli, ["run", *words, "--dry-run", "--json"], catch_exceptions=False
        )
    values = {key: knob["value"] for key, knob in json.loads(told.stdout)["config"].items()}
    expected = config.model_dump(mode="json")
    for table in ("algorithm", "columns"):
        for key, value in expected.pop(table).items():
            expected[f"{table}.{key}"] = value
    assert values == expected


def test_an_axis_of_steps_tells_each_step_once() -> None:
    axes = Axes("Latency", "step", "seconds", x_format=lambda value: f"{value:,.0f}", begin=0.0)
    said = str(line_chart(axes, [Line("p50", ((1.0, 3.0), (2.0, 4.0)), 1)]))

    below = re.findall(r'<text class="tick" x="[\d.]+" y="244[^"]*" text-anchor="\w+">(\d+)<', said)
    assert below == ["0", "1", "2"]


@pytest.mark.parametrize("at", [0.0011, 0.01, 0.9])
def test_the_name_of_a_quantile_lies_within_the_chart(at: float) -> None:
    bins = [(0.001, 0.01, 5), (0.01, 0.1, 3), (0.1, 1.0, 1)]
    said = str(histogram("Latency", bins, (("p50 1.2 ms", at), ("p95 900 ms", 0.95)), str))

    for x, anchor in re.findall(r'<text class="tick strong" x="([\d.]+)"[^>]*anchor="(\w+)"', said):
        width = 7 * len("p50 1.2 ms")
        low = float(x) - (width if anchor == "end" else 0)
        assert 0 <= low <= low + width <= WIDTH
