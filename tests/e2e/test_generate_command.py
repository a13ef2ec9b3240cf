"""``orchestrator generate``, as people type it: a text, many texts, plans alone."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Policy
from orchestrator.config import RunConfig
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from tests.processes import PATIENCE_S
from tests.running import ORCHESTRATOR, Ended, Finished, clean_environment, json_lines
from tests.standin_calls import MODEL
from tests.trained_policies import policy_file

TEXT = "Explain how qubits differ from bits"


@pytest.fixture(scope="module")
def standin() -> Iterator[Running]:
    with running(Settings(latency_ms=20)) as standin:
        yield standin


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a policy that was trained with a model."""
    folder = tmp_path_factory.mktemp("use")
    policy_file(folder, RunConfig(seed=3, model=MODEL, max_tokens=800))
    return folder


def typed(
    folder: Path, *words: str, standin: Running | None = None, lines: bytes = b"", **more: str
) -> Finished:
    """``orchestrator generate WORDS`` with ``lines`` as its standard input."""
    keys = {} if standin is None else {"OPENROUTER_BASE_URL": standin.base_url}
    keys |= {"OPENROUTER_API_KEY": DEFAULT_KEY} if standin else {}
    ended = subprocess.run(
        [ORCHESTRATOR, "generate", *words],
        cwd=folder,
        env=clean_environment(folder, keys | more),
        input=lines,
        capture_output=True,
        check=False,
        timeout=2 * PATIENCE_S,
    )
    assert DEFAULT_KEY.encode() not in ended.stdout + ended.stderr
    return Finished(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def test_the_command_that_a_run_ends_with_answers(small_run: Ended) -> None:
    next_line = next(line for line in small_run.how.out.splitlines() if "  next  " in line)
    command = next_line.partition("orchestrator ")[2]
    shown = subprocess.run(
        f"{ORCHESTRATOR} {command}",
        shell=True,
        cwd=small_run.folder,
        env=clean_environment(small_run.folder, {}),
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(shown.stdout.split()) > 20
    assert "template engine" in shown.stderr


def test_the_runs_own_model_answers_if_it_can_be_asked(folder: Path, standin: Running) -> None:
    asked = typed(folder, "policy.json", TEXT, "--seed", "7", "-n", "2", standin=standin)
    offline = typed(folder, "policy.json", TEXT, "--seed", "7")

    assert (asked.code, offline.code) == (0, 0)
    assert f"model    {MODEL}" in asked.err
    assert "seed 7 · " in asked.err
    assert "seed 8 · " in asked.err
    assert asked.err.count("$0.0") == 2
    assert "model    template engine" in offline.err
    assert f"trained with {MODEL}, which needs OPENROUTER_API_KEY" in offline.err
    plan = Policy.load(folder / "policy.json").plan(TEXT, seed=7)
    assert offline.out == plan.prompt.draft + "\n"


def test_the_prompt_alone_is_what_python_plans(folder: Path, standin: Running) -> None:
    before = standin.control("received")["count"]
    shown = typed(folder, "policy.json", TEXT, "--greedy", "--prompt-only", standin=standin)
    rows = typed(folder, "policy.json", TEXT, "--greedy", "--prompt-only", "--json")

    plan = Policy.load(folder / "policy.json").plan(TEXT, greedy=True)
    contents = [message["content"] for message in plan.messages]
    assert shown.out == "\n\n".join(contents) + "\n"
    assert json_lines(rows.out) == [{"plan": plan.model_dump(mode="json")}]
    assert standin.control("received")["count"] == before


def test_lines_are_answered_in_order_and_an_error_is_a_row(folder: Path, standin: Running) -> None:
    lines = [
        TEXT.encode(),
        b"",
        b"Bake a cake",
        json.dumps({"text": "Bake a cake", "domain": "machine learning", "id": "cake"}).encode(),
        b"{broken",
        b"Explain qubits \xff",
        b"Explain backpropagation in neural networks",
    ]
    ended = typed(
        folder, "policy.json", "-", "--model", MODEL, "--seed=1", standin=standin,
        lines=b"\n".join(lines),
    )  # fmt: skip

    assert ended.code == 1
    rows = json_lines(ended.out)
    assert [row["line"] for row in rows] == [1, 3, 4, 5, 6, 7]
    assert [row.get("id") for row in rows] == ["e001", "e003", "cake", None, None, "e007"]
    errors = {row["line"]: row["error"] for row in rows if "error" in row}
    assert {line: error["kind"] for line, error in errors.items()} == dict.fromkeys(
        (3, 5, 6), "usage"
    )
    assert "names no domain" in errors[3]["message"]
    assert "stdin:5: not valid JSON" in errors[5]["message"]
    assert "stdin:6: is not UTF-8" in errors[6]["message"]
    assert rows[2]["plan"]["domain"] == "machine learning"
    assert rows[0]["plan"]["seed"] == rows[-1]["plan"]["seed"] == 1
    cost_usd = sum(row["cost_usd"] for row in rows if "text" in row)
    assert f"3 answered, 3 failed (usage 3) · cost ${cost_usd:.6f}" in ended.err


def test_many_lines_go_out_side_by_side_but_no_more_than_asked(
    folder: Path, standin: Running
) -> None:
    standin.control("reset", {})
    ended = typed(
        folder, "policy.json", "-", "--at-once", "6", standin=standin,
        lines=f"{TEXT}\n".encode() * 120,
    )  # fmt: skip

    assert ended.code == 0, ended.err
    assert [row["line"] for row in json_lines(ended.out)] == list(range(1, 121))
    received: dict[str, Any] = standin.control("received")
    assert 4 <= received["peak_generating"] <= 6
    assert "120 answered, 0 failed" in ended.err


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line of the shell to its end."""
    return subprocess.run(
        line,
        shell=True,
        cwd=folder,
        env=clean_environment(folder, {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_S,
    )


def test_a_reader_that_goes_away_ends_it_quietly(folder: Path) -> None:
    generate = f"{ORCHESTRATOR} generate policy.json - --model template"
    shown = shell(folder, f"yes {TEXT!r} | {generate} | head -n 2")

    assert [row["line"] for row in json_lines(shown.stdout)] == [1, 2]
    assert "Traceback" not in shown.stderr


def test_a_closed_standard_input_is_said(folder: Path) -> None:
    shown = shell(folder, f"{ORCHESTRATOR} generate policy.json - --model template <&-")

    assert shown.returncode == 2
    assert "it is closed" in shown.stderr


def test_a_budget_ends_the_calls_and_not_the_job(folder: Path, standin: Running) -> None:
    standin.control("reset", {})
    ended = typed(
        folder, "policy.json", "-", "--budget", "0.001", standin=standin,
        lines=f"{TEXT}\n".encode() * 20,
    )  # fmt: skip

    assert ended.code == 1
    rows = json_lines(ended.out)
    assert len(rows) == 20
    kinds = {row["error"]["kind"] for row in rows if "error" in row}
    assert kinds == {"budget"}
    assert 0.0005 < standin.control("ledger")["total_nano_usd"] / 1e9 <= 0.001


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        (("policy.json", "Bake a cake"), {}, 2, "--domain 'quantum computing' (in"),
        (("nobody", TEXT), {}, 2, "no run called 'nobody'"),
        (("policy.json", TEXT, "--model", MODEL + "x"), {}, 2, "did you mean"),
        (("policy.json", TEXT), {"OPENROUTER_API_KEY": "sk-or-v1-wrong"}, 3, "refuses the key"),
        (("policy.json", TEXT), {"OPENROUTER_BASE_URL": "http://127.0.0.1:9"}, 3, "not answer"),
    ],
)
def test_what_cannot_work_says_why(
    folder: Path,
    standin: Running,
    words: tuple[str, ...],
    environment: dict[str, str],
    code: int,
    said: str,
) -> None:
    ended = typed(folder, *words, standin=standin, **environment)

    assert (ended.code, ended.out) == (code, ""), ended
    assert said in ended.err
    assert "sk-or-v1-wrong" not in ended.err
