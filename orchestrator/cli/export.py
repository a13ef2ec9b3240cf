"""``orchestrator export``: a policy as one file, for other programs, other languages, or people."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.run_argument import FilePath, RunName

if TYPE_CHECKING:
    from orchestrator.policy_document import PolicyDocument

#: Stands for the user's text in a prompt that is copied.
YOUR_TEXT = "[YOUR TEXT]"


@click.command()
@click.argument("run", type=RunName(), metavar="[RUN]", required=False)
@click.option("-o", "output", type=FilePath(), help="File  [default: stdout]")
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "prompt", "schema"]),
    default="json",
    show_default=True,
    help="The policy, its prompts to copy, or the JSON Schema of a policy (needs no RUN).",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--json", "as_json", is_flag=True, help="Tell what was written as one JSON object.")
def export(run: str | None, output: Path | None, form: str, force: bool, as_json: bool) -> None:
    """Write a trained policy as one file.

    The file needs neither its run nor this program.
    RUN is a name, a part of one, a path, "latest", a policy file, or redis://…#RUN.
    """
    from orchestrator.policy_document import schema
    from orchestrator.trained import Policy
    from shared.errors import UsageError

    if output is not None and output.exists() and not force:
        raise UsageError(
            f"{output} is there already; name another file, or replace it with --force"
        )
    if form == "schema":
        _write(_json(schema()), output)
        told: dict[str, Any] = {"format": form}
    else:
        if run is None:
            raise UsageError("which run? Name it, or the newest: orchestrator export latest")
        document = Policy.load(run).exported()
        text = _prompts(document) if form == "prompt" else _json(document.model_dump(mode="json"))
        _write(text, output)
        names = [domain.name for domain in document.domains]
        told = {"format": form, "policy_version": document.policy_version, "domains": names}
    if output is None:
        return
    if as_json:
        click.echo(json.dumps({"file": str(output), **told}))
    else:
        click.echo(f"wrote {output}", err=True)


def _prompts(document: "PolicyDocument") -> str:
    from orchestrator.policy_document import plain_prompt

    parts = [
        f"## {domain.name}\n\n{document.base_prompt}\n\n{plain_prompt(domain, YOUR_TEXT)}\n"
        for domain in document.domains
    ]
    return "\n".join(parts)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write(text: str, output: Path | None) -> None:
    from orchestrator.run_directory import write_atomically
    from shared.errors import UsageError

    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_atomically(output, text)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror or error}") from None
