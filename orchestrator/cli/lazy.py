"""A group whose commands are loaded when they are used, shown under headings."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from orchestrator.cli.commands import Entry

#: Heading of commands that stand in no section.
OTHER = "Other"


class LazyGroup(click.Group):
    """Start-up costs the same however many commands there are."""

    def __init__(
        self, *args: Any, sections: Mapping[str, tuple[Entry, ...]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self._entries = {entry.name: entry for part in sections.values() for entry in part}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the sections; those added by ``add_command`` at the end."""
        return [*self._entries, *sorted(self.commands.keys() - self._entries.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now; None if there is none of that name."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = entry.place.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), f"{entry.place} is no command"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own, with hints at commands that are not loaded."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            known = self.list_commands(ctx)
            raise click.NoSuchCommand(error.command_name, None, known, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lines of the table, under its headings."""
        width = max(map(len, self.list_commands(ctx)))
        shown = {
            heading: [(entry.name, entry.help) for entry in entries]
            for heading, entries in self._sections.items()
        }
        shown[OTHER] = [
            (name, self.commands[name].get_short_help_str(80))
            for name in sorted(self.commands.keys() - self._entries.keys())
        ]
        for heading, rows in shown.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl([(name.ljust(width), line) for name, line in rows])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the table: no command is loaded to complete one."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [
            CompletionItem(name, help=self._entries[name].help if name in self._entries else None)
            for name in names
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
