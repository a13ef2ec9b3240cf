"""What docs/serve.md tells people to type runs as it stands, but for the port."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.serve import requests
from orchestrator.standin import Settings, running
from tests.running import ROOT, SMALL, clean_environment, orchestrator, started

PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
#: What the page tells people to replace.
KEY = "sk-or-v1-YOUR-KEY"

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("openai") and not os.environ.get("CI"), reason="no openai client"
)


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_command_and_the_program_of_the_page_run(workplace: Path) -> None:
    run, export, serve, printed = block("console").splitlines()
    assert (run, export) == ("$ orchestrator run", f"$ export OPENROUTER_API_KEY={KEY}")
    assert orchestrator("run", *SMALL, cwd=workplace).code == 0
    with running(Settings(key=KEY)) as standin:
        told = {"OPENROUTER_API_KEY": KEY, "OPENROUTER_BASE_URL": standin.base_url}
        words = serve.removeprefix("$ orchestrator ").split()
        with started(*words, "--port=0", cwd=workplace, **told) as server:
            server.await_words("model ")
            line = (workplace / "command.out").read_text(encoding="utf-8").strip()
            assert re.sub(r":\d+/", ":8000/", line) == printed
            variable, _, address = line.removeprefix("export ").partition("=")
            program = subprocess.run(
                [sys.executable, "-c", block("python")],
                env=clean_environment(workplace, {variable: address}),
                capture_output=True,
                text=True,
                check=False,
            )

    assert program.returncode == 0, program.stderr
    first, *answer = program.stdout.splitlines()
    assert first.startswith("plan ")
    assert answer


def test_the_page_names_every_reason() -> None:
    source = Path(requests.__file__).read_text(encoding="utf-8")
    reasons = {*re.findall(r'Unfit\("(.*?)"\)', source), "no-domain", "asked"}

    assert len(reasons) > 6
    assert {reason for reason in reasons if f"`{reason}`" not in PAGE} == set()
