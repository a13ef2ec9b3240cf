"""What arguments name: a RUN, which the Tab key completes, and files."""

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

#: Folder of the runs, from where the command is typed.
RUNS_DIR = Path("runs")


class FilePath(click.Path):
    """A file or folder as a ``Path``. ``~`` is the home also where no shell has said so."""

    def __init__(self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True):
        super().__init__(exists=exists, file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The path. Raises click.BadParameter."""
        return super().convert(os.path.expanduser(value), param, ctx)  # noqa: PTH111


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
