"""RUN on the command line: a name that the Tab key completes."""

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

#: Folder of the runs, from where the command is typed.
RUNS_DIR = Path("runs")


class RunName(click.ParamType[str]):
    """The name of a run, a part of one, a path, or "latest"."""

    name = "run"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """As it is: what it means is found out by the command."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names of runs, newest first; folders where a path is begun."""
        from orchestrator.run_names import completions

        if "/" in incomplete or incomplete.startswith("."):
            return [CompletionItem(incomplete, type="dir")]
        return [CompletionItem(name) for name in completions(RUNS_DIR, incomplete)]
