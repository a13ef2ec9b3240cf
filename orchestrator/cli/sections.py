"""A command with many flags, shown under headings."""

from collections.abc import Mapping, Sequence
from typing import Any

import click


class SectionedCommand(click.Command):
    """``sections``: heading -> parameters; those in no section stand under the last heading."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The flags under their headings, in one width."""
        heading_of = {name: heading for heading, names in self._sections.items() for name in names}
        *_, last = self._sections
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in self._sections}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and not isinstance(param, click.Argument):
                rows[heading_of.get(param.name or "", last)].append(record)
        width = max(len(flag) for part in rows.values() for flag, _ in part)
        for heading, part in rows.items():
            if part:
                with formatter.section(heading):
                    formatter.write_dl([(flag.ljust(width), words) for flag, words in part])
