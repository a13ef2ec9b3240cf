"""``orchestrator completion``: the Tab key."""

import json
import sys

import click

PROGRAM = "orchestrator"
#: The variable by which the shell asks this program; click's convention.
VARIABLE = "_ORCHESTRATOR_COMPLETE"
#: What makes a shell complete: once, in its start-up file.
INSTALL = {
    "bash": "echo 'eval \"$(orchestrator completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(orchestrator completion zsh)\"' >> ~/.zshrc",
    "fish": "orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(INSTALL)))
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
@click.pass_context
def completion(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Complete commands, flags and runs with the Tab key.

    Prints the script of a shell; how to install it is said on stderr.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, f"click completes no {shell}"
    script = kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source()
    if as_json:
        click.echo(json.dumps({"shell": shell, "script": script, "install": INSTALL[shell]}))
        return
    click.echo(script)
    # Not where the shell reads it at every start.
    if sys.stdout.isatty():
        click.echo(f"# install it with:  {INSTALL[shell]}", err=True)
