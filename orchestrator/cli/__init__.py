"""The command line: one file per command family, heavy imports inside the commands."""

import gc
import os
import sys

import click

from orchestrator.cli.explain import explain
from orchestrator.cli.money import doctor, estimate
from orchestrator.cli.replay import replay
from orchestrator.cli.report import report
from orchestrator.cli.run import run
from orchestrator.cli.services import flower, worker
from orchestrator.cli.standin import demo_openrouter
from shared.errors import ConceptGrpoError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: orchestrator run   (needs no key, no server; takes some seconds)",
)
@click.version_option(
    package_name="concept-grpo", prog_name="orchestrator", message="%(prog)s %(version)s"
)
def cli() -> None:
    """Reinforcement learning for prompts: learn what to ask a hosted LLM for, by GRPO."""


for command in (run, estimate, doctor, explain, replay, report, worker, flower, demo_openrouter):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors of ours become a sentence and their exit code."""
    # Exact sums must not depend on how many threads a matrix product was split over.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Messages come by the thousand and hold no cycles; looking for some took a tenth of the CPU.
    gc.set_threshold(20_000, 20, 20)
    try:
        cli(prog_name="orchestrator")
    except ConceptGrpoError as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            click.echo(f"error: {line}", err=True)
        sys.exit(error.exit_code)
