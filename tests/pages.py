"""The pages that people read, and what they tell people to type: one shell script per page.

Commands run in a fresh folder, in order, in one shell. What a page shows as the content of a named
file (its first line is ``# NAME``) becomes that file; Python programs run where they stand.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.running import ROOT

BLOCK = re.compile(r"^```(sh|console|python|toml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED_FILE = re.compile(r"# ([\w.-]+\.(?:py|toml))\b")
#: Lines that begin so are not run: they install, need Docker or a cluster, or are a clone's own.
SKIPPED = (
    "docker ",
    "kubectl ",
    "pip install",
    "make ",
    "cp .env.example",
    ". .venv/bin/activate",
)
#: Commands that go on until they are stopped: they run beside those that follow.
SERVERS = re.compile(r"\borchestrator (serve|worker|flower|demo-openrouter)\b")
#: What the script begins with: servers are stopped by their process ids, whatever happens.
HEAD = """\
set -euo pipefail
servers=()
stop() { for each in "${servers[@]}"; do kill "$each" || true; wait "$each" || true; done; }
trap stop EXIT
ready() { for _ in $(seq 300); do grep -q "$2" "$1" && return; sleep 0.1; done; cat "$1"; exit 1; }
"""
#: What a server says when it can be used.
READY = {"serve": "export", "worker": "at a time", "flower": "http", "demo-openrouter": "export"}


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def pages() -> list[Path]:
    """The README and everything in docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """What is to be typed or written, in order."""
    return [Block(*found) for found in BLOCK.findall(page.read_text(encoding="utf-8"))]


def typed(block: Block) -> list[str]:
    """The lines of a block of commands that a shell reads; the output of ``console`` is none."""
    lines = block.text.splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if not line.startswith(SKIPPED)]


def script(page: Path, instead: Mapping[str, str]) -> str:
    """The page as a shell script; ``instead`` says what to put for the page's placeholders."""
    parts = [HEAD]
    for number, block in enumerate(blocks(page)):
        if block.language in {"sh", "console"}:
            parts += _commands(typed(block))
        else:
            parts += _file(block, number)
    text = "\n".join(parts) + "\n"
    for placeholder, value in instead.items():
        text = text.replace(placeholder, value)
    return text


def _commands(lines: list[str]) -> Iterator[str]:
    for line in lines:
        server = SERVERS.search(line)
        if not server:
            yield line
            continue
        name = f"{server[1]}.said"
        yield f"{line.partition('  #')[0]} > {name} 2>&1 & servers+=($!)"
        yield f"ready {name} {shlex.quote(READY[server[1]])}"
        if server[1] == "serve":
            yield f'eval "$(grep ^export {name})"'


def _file(block: Block, number: int) -> Iterator[str]:
    named = NAMED_FILE.match(block.text)
    if block.language == "toml" and not named:
        return
    name = named[1] if named else f"program{number}.py"
    yield f"cat > {name} <<'END OF THE BLOCK'\n{block.text}END OF THE BLOCK"
    if block.language == "python":
        # A file of one's own is loaded by what names it; a program runs.
        yield f"python -W error {name}"
