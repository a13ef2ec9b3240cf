"""``orchestrator schema``: JSON Schemas, for editors."""

import click

from orchestrator.cli.options import echo_json


@click.command()
@click.argument("what", type=click.Choice(["config", "domain", "data"]))
@click.option("--json", is_flag=True, hidden=True, expose_value=False)
def schema(what: str) -> None:
    """JSON Schema of a config, a domain or a data record.

    An editor with Taplo (Even Better TOML) completes and checks a file by its first line:

    \b
      orchestrator schema config > run.schema.json
      #:schema ./run.schema.json                       in run.toml
    """
    from orchestrator.schemas import SCHEMAS

    echo_json(SCHEMAS[what](), indent=2)
