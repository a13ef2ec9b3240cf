"""``report.html``: every run leaves one, also when it stops; and ``orchestrator report``."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from orchestrator.report.html.write import write_comparison, write_report
from orchestrator.run_directory import RunDirectory
from shared.errors import UsageError
from tests.reported import Page
from tests.running import (
    SMALL,
    Ended,
    Finished,
    held_after,
    json_lines,
    let_go,
    orchestrator,
    started,
)


def report(folder: Path, *words: str) -> Finished:
    """``orchestrator report WORDS``; the name of its output is new each time."""
    name = f"report{len(list(folder.glob('report*.err')))}"
    return orchestrator("report", *words, cwd=folder, name=name)


@pytest.fixture
def runs(small_run: Ended, tmp_path: Path) -> Path:
    """A folder whose runs/ holds a copy of the small run."""
    shutil.copytree(small_run.run, tmp_path / "runs" / small_run.run.name)
    return tmp_path


def test_a_run_ends_with_its_report(small_run: Ended) -> None:
    assert f"  report   runs/{small_run.run.name}/report.html" in small_run.how.out
    page = Page((small_run.run / "report.html").read_text("utf-8"))
    result = json.loads((small_run.run / "run.json").read_text("utf-8"))
    heldout = result["heldout"]

    assert page.text.lstrip().startswith(f"{heldout['verdict']}: {small_run.run.name}")
    assert f"from {heldout['before']:.3f} to {heldout['after']:.3f}" in page.text
    assert f"[{heldout['low']:+.3f}, {heldout['high']:+.3f}]" in page.text
    rows = json_lines((small_run.run / "rollouts.jsonl").read_text("utf-8"))
    best = max(row["reward"] for row in rows if row["purpose"] == "train")
    shown = [e.attributes for e in page.tags("details") if "data-rank" in e.attributes]
    assert max(float(a["data-reward"] or "nan") for a in shown if a["data-purpose"] == "train") == (
        pytest.approx(best)
    )
    for row in json.loads((small_run.run / "policy.json").read_text("utf-8"))["domains"]:
        assert " + ".join(row["greedy"]["concepts"]) in page.text


def test_the_report_says_what_explain_says(runs: Path, small_run: Ended) -> None:
    told = orchestrator("explain", small_run.run.name, "--json", cwd=runs, name="explain")
    page = Page((small_run.run / "report.html").read_text("utf-8"))

    for domain in json.loads(told.out)["domains"]:
        for choice in domain["choices"]:
            if choice["kind"] != "feature" and choice["effect"]:
                effect = choice["effect"]
                words = f"{effect['value']:+.3f} [{effect['low']:+.3f}, {effect['high']:+.3f}]"
                assert words in page.text


def test_the_command_writes_the_same_page_again_and_its_verdict_as_json(
    runs: Path, small_run: Ended
) -> None:
    told = report(runs, small_run.run.name[-4:], "--json", "-o", "again.html")

    assert (told.code, told.err) == (0, "")
    row = json.loads(told.out)
    assert row["report"] == "again.html"
    result = json.loads((small_run.run / "run.json").read_text("utf-8"))
    assert row["verdict"] == result["heldout"]["verdict"]
    assert row["heldout"]["gain"] == pytest.approx(result["heldout"]["gain"])
    again = (runs / "again.html").read_text("utf-8")
    # Only the place of the copies may differ.
    there = (small_run.run / "report.html").read_text("utf-8")
    assert again.replace(str(runs), "") == there.replace(str(small_run.run.parents[1]), "")


def test_runs_are_compared_if_they_are_alike(runs: Path, small_run: Ended) -> None:
    name = small_run.run.name
    other = runs / "runs" / f"other--{name}"
    shutil.copytree(runs / "runs" / name, other)
    both = [RunDirectory(runs / "runs" / name), RunDirectory(other)]
    write_comparison(both, runs / "both.html", force=False)
    assert "B is not told apart from A: +0.000" in Page((runs / "both.html").read_text()).text

    config = json.loads((other / "config.json").read_text("utf-8"))
    config["reward_weights"] = [1, 0, 0, 0]
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UsageError, match=f"{other.name} differs from {name} in its reward"):
        write_comparison(both, runs / "both.html", force=False)

    forced = report(runs, name, other.name, "--force")
    assert forced.code == 0, forced.err
    path = runs / forced.out.strip()
    assert path.name.startswith("comparison--")
    assert "reward_weights" in Page(path.read_text("utf-8")).text


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(runs: Path, small_run: Ended) -> None:
    run = runs / "runs" / small_run.run.name
    for name in ("policies.jsonl", "metrics.jsonl", "environment.json"):
        (run / name).unlink()
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(b'{"purpose": "train", "half\xff\n')

    write_report(RunDirectory(run))
    page = Page((run / "report.html").read_text("utf-8"))
    assert "do not fit together" in page.text
    assert "IMPROVED" in page.text

    (run / "inputs.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="is not what a run wrote"):
        write_report(RunDirectory(run))


def test_an_interrupted_run_leaves_a_report_that_does_not_judge(workplace: Path) -> None:
    hold = held_after(2, workplace)
    with started("run", *SMALL, "--no-live", hold, cwd=workplace) as command:
        run = command.await_hold(workplace)
        command.process.send_signal(signal.SIGINT)
        let_go(workplace)
        ended = command.end()

    assert ended.code == 130
    assert f"report  runs/{run.name}/report.html" in ended.err
    page = Page((run / "report.html").read_text("utf-8"))
    assert "UNFINISHED" in page.text
    assert "The run has not ended (stopped)." in page.text


def test_a_report_that_cannot_be_written_costs_neither_the_result_nor_the_exit_code(
    workplace: Path,
) -> None:
    hold = held_after(1, workplace)
    with started("run", *SMALL, "--no-live", hold, cwd=workplace) as command:
        run = command.await_hold(workplace)
        (run / "report.html" / "in the way").mkdir(parents=True)
        let_go(workplace)
        ended = command.end()

    assert ended.code == 0
    assert f"warning: no report.html: cannot write runs/{run.name}/report.html" in ended.err
    assert f"try: orchestrator report {run.name}" in ended.err
    assert "held-out reward" in ended.out
    assert "report.html" not in ended.out
    assert (run / "run.json").exists()
