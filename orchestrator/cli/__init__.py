"""The command line: one file per command family, loaded when its command is used."""

import gc
import os
import sys
from pathlib import Path

import click

from orchestrator import hidden_by
from orchestrator.cli.commands import SECTIONS
from orchestrator.cli.lazy import LazyGroup


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: orchestrator run   (needs no key, no server; takes some seconds)",
)
@click.version_option(
    package_name="concept-grpo", prog_name="orchestrator", message="%(prog)s %(version)s"
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Reinforcement learning for prompts: learn what to ask a hosted LLM for, by GRPO."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Run the command line; errors of ours become a sentence and their exit code."""
    if hidden_by():
        # PYTHONPATH has a folder with a file or folder called shared.
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from shared.errors import ConceptGrpoError
    from shared.redis_address import REDIS_PASSWORD, REDIS_URL, shows_password
    from shared.terminal import print_harmlessly

    print_harmlessly()
    # Exact sums must not depend on how many threads a matrix product was split over.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Messages come by the thousand and hold no cycles; looking for some took a tenth of the CPU.
    gc.set_threshold(20_000, 20, 20)
    if any(map(shows_password, sys.argv[1:])):
        click.echo(
            "warning: others on this machine can read the password in this command line (ps);"
            f" put it into {REDIS_PASSWORD}, or the whole address into {REDIS_URL}",
            err=True,
        )
    try:
        cli(prog_name="orchestrator")
    except ConceptGrpoError as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            # What is quoted below a sentence is indented.
            click.echo(line if line.startswith("  ") else f"error: {line}", err=True)
        sys.exit(error.exit_code)
