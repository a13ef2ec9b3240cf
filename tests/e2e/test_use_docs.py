"""What docs/use.md tells people to type runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

from orchestrator.standin import Settings, running
from tests.running import ORCHESTRATOR, ROOT, clean_environment, json_lines

PAGE = (ROOT / "docs" / "use.md").read_text(encoding="utf-8")
#: What the page tells people to replace.
KEY = "sk-or-v1-YOUR-KEY"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_every_command_and_the_python_of_the_page_run(workplace: Path) -> None:
    typed = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert len(typed) > 8
    (program,) = blocks("python")
    with running(Settings(key=KEY)) as standin:
        environment = clean_environment(
            workplace,
            {
                "PATH": f"{ORCHESTRATOR.parent}:/usr/bin:/bin",
                "OPENROUTER_BASE_URL": standin.base_url,
            },
        )
        shell = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(typed)],
            cwd=workplace,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert shell.returncode == 0, shell.stderr
        asked = standin.control("received")["count"]
    python = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=workplace,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert python.returncode == 0, python.stderr

    # Only where the page names a model.
    assert asked == 2
    rows = json_lines((workplace / "answers.jsonl").read_text(encoding="utf-8"))
    assert [row["plan"]["domain"] for row in rows] == ["quantum computing", "neural networks"]
    assert python.stdout.startswith("quantum computing (")
    assert "[YOUR TEXT]" in (workplace / "prompts.md").read_text(encoding="utf-8")
