"""Every command and program of the README and of docs/ runs as it stands, page by page.

Left out are the lines that ``tests.pages.SKIPPED`` names. A wrapper makes runs small and lets
servers take a free port; the stand-in is in OpenRouter's place.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.embedded import connect, free_port
from orchestrator.serve import requests
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from tests.pages import SKIPPED, blocks, pages, script, typed
from tests.running import ORCHESTRATOR, ROOT, clean_environment, json_lines
from tests.working import worker_process

#: What pages tell people to replace.
KEYS = ("sk-or-v1-YOUR-KEY", "sk-or-v1-...")
#: ``orchestrator`` of the pages: the same, with small runs and free ports.
WRAPPER = """\
#!/usr/bin/env bash
set -euo pipefail
case "$1" in
run)
    words=("$@")
    [[ " $* " == *" --resume"* ]] || words+=(--steps=2 --set=group_size=4 --set=eval_samples=1)
    exec {real} "${{words[@]}}" ;;
serve) exec {real} "$@" --port=0 ;;
flower) exec {real} "$@" --port={port} ;;
demo-openrouter) exec {real} "$@" --port=0 ;;
*) exec {real} "$@" ;;
esac
"""


@pytest.fixture(scope="module")
def standin() -> Iterator[Running]:
    with running(Settings(latency_ms=2)) as standin:
        yield standin


@pytest.fixture
def url(server: str, standin: Running, workplace: Path) -> Iterator[str]:
    """A database with a worker, so that no command of a page starts an engine of its own."""
    environment = {
        "OPENROUTER_BASE_URL": standin.base_url,
        "OPENROUTER_API_KEY": DEFAULT_KEY,
        # Rewards of one's own lie in the folder that one starts from.
        "PYTHONPATH": f"{workplace}:{workplace / 'tax-law'}",
    }
    folder = workplace / ".worker"
    folder.mkdir()
    with connect(f"{server}/4") as redis:
        redis.flushdb()
        with worker_process(f"{server}/4", folder, "pages", environment=environment):
            yield f"{server}/4"
        redis.flushdb()


@pytest.mark.parametrize("page", [p for p in pages() if blocks(p)], ids=lambda page: page.stem)
def test_what_a_page_says_to_type_runs(
    page: Path, standin: Running, url: str, workplace: Path
) -> None:
    standin.control("reset", {})
    tools = workplace / ".tools"
    tools.mkdir()
    wrapper = tools / "orchestrator"
    wrapper.write_text(WRAPPER.format(real=ORCHESTRATOR, port=free_port()), encoding="utf-8")
    wrapper.chmod(0o755)
    environment = {
        "PATH": f"{tools}:{ORCHESTRATOR.parent}:{os.environ['PATH']}",
        "OPENROUTER_BASE_URL": standin.base_url,
        "OPENROUTER_API_KEY": DEFAULT_KEY,
        "REDIS_URL": url,
    }
    instead = dict.fromkeys(KEYS, DEFAULT_KEY)
    instead |= {"redis://HOST:6379/0": url, "--metrics-port 9464": "--metrics-port 0"}
    said = script(page, instead)

    shell = subprocess.run(
        ["bash", "-c", said],
        cwd=workplace,
        env=clean_environment(workplace, environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert shell.returncode == 0, f"{shell.stderr[-4000:]}\nof\n{said}"
    if check := CHECKS.get(page.stem):
        check(workplace, shell.stdout, standin)


def use(folder: Path, out: str, standin: Running) -> None:
    # Only where the page names a model is one asked.
    assert standin.control("received")["count"] == 2
    rows = json_lines((folder / "answers.jsonl").read_text(encoding="utf-8"))
    assert [row["plan"]["domain"] for row in rows] == ["quantum computing", "neural networks"]
    assert "[YOUR TEXT]" in (folder / "prompts.md").read_text(encoding="utf-8")
    assert re.search(r"^quantum computing \(", out, re.MULTILINE)


def serve(folder: Path, out: str, standin: Running) -> None:
    assert re.search(r"^plan \S+", out, re.MULTILINE)
    assert standin.control("received")["count"] == 1


CHECKS: Mapping[str, Callable[[Path, str, Running], None]] = {"use": use, "serve": serve}


def test_nothing_is_left_out_but_what_the_list_names_and_all_of_the_list_is_needed() -> None:
    commands = [
        block for p in pages() for block in blocks(p) if block.language in {"sh", "console"}
    ]
    every = [line for block in commands for line in block.text.splitlines()]

    assert len([line for block in commands for line in typed(block)]) > 80
    assert [each for each in SKIPPED if not any(line.startswith(each) for line in every)] == []


def test_the_page_of_serve_names_every_reason() -> None:
    source = Path(requests.__file__).read_text(encoding="utf-8")
    reasons = {*re.findall(r'Unfit\("(.*?)"\)', source), "no-domain", "asked"}
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")

    assert len(reasons) > 6
    assert {reason for reason in reasons if f"`{reason}`" not in page} == set()


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = []
    for page in pages():
        for link in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in link and not (page.parent / link).exists():
                broken.append(f"{page.name}: {link}")
    assert broken == []
