"""docs/commands.md, made of what the commands say: python -m tests.command_reference"""

from collections.abc import Iterator
from pathlib import Path

import click

from orchestrator.cli import cli
from orchestrator.cli.commands import SECTIONS

FILE = Path(__file__).parents[1] / "docs" / "commands.md"
WIDTH = 100
HEAD = """\
# Commands

Made of `--help` by `python -m tests.command_reference`; a test compares it with the commands.

Results go to stdout, words to stderr; `--json` prints results for programs. A question is asked
only in a terminal, and never with `--yes`. RUN is a name, a part of one that no other has, a path,
or `latest`; the Tab key completes it (`orchestrator completion bash`).

| exit code | meaning |
|--:|---|
| 0 | done, also: stopped at the budget that was given, resumable |
| 1 | the run started and cannot go on; what was done is kept |
| 2 | a flag, config, data or domain file is wrong; nothing was started |
| 3 | the environment is not ready: Redis, workers, key, credit, disk |
| 4 | what was asked for as a condition does not hold, or cannot be told |
| 130, 143 | interrupted and saved |
"""


def every_command() -> list[tuple[str, click.Command]]:
    """The command, its commands, and theirs, by what is typed."""
    return list(_below("orchestrator", cli, click.Context(cli, info_name="orchestrator")))


def reference() -> str:
    """The whole file."""
    context = click.Context(cli, info_name="orchestrator", max_content_width=WIDTH)
    parts = [HEAD]
    for heading, entries in SECTIONS.items():
        parts.append(f"## {heading}\n")
        for entry in entries:
            command = cli.get_command(context, entry.name)
            assert command is not None
            for path, each in _below(f"orchestrator {entry.name}", command, context):
                parts.append(f"### `{path}`\n\n```text\n{_help(path, each)}\n```\n")
    return "\n".join(parts)


def _help(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path, terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    return command.get_help(context).strip()


def _below(
    path: str, command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _below(f"{path} {name}", inner, context)


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
