"""The flags that describe a run, shared by the commands that plan one or start one."""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli.run_argument import FilePath

if TYPE_CHECKING:
    from orchestrator.config_files import Resolved
    from orchestrator.run_directory import RunDirectory

Command = TypeVar("Command", bound=Callable[..., Any])

#: Flag -> dotted key, where they differ.
KEYS = {
    "domain": "domains",
    "judge": "judge_models",
    "budget": "max_cost_usd",
    "steps": "max_steps",
}

#: Headings of the flags that describe a run.
SECTIONS = {
    "Data and models": ("data", "heldout", "domain", "model", "judge", "budget"),
    "Training": ("steps", "seed", "workers", "name", "report_to", "settings"),
}

_OPTIONS = (
    click.argument("configs", nargs=-1, type=FilePath(), metavar="[CONFIG]…"),
    click.option(
        "--data",
        metavar="DATA",
        help="File, hf://OWNER/NAME/SPLIT or -  [default: examples]",
    ),
    click.option(
        "--heldout", metavar="DATA", help="The same, held out  [default: a share of data]"
    ),
    click.option(
        "--domain",
        multiple=True,
        metavar="DOMAIN",
        help="Domain file or built-in name; repeatable.",
    ),
    click.option(
        "--model", metavar="MODEL", help="Model that writes  [default: the template engine]"
    ),
    click.option("--judge", multiple=True, metavar="MODEL", help="Model that judges; repeatable."),
    click.option("--steps", type=int, metavar="N", help="Updates of the policy."),
    click.option("--budget", type=float, metavar="USD", help="Dollars that the run may spend."),
    click.option("--name", metavar="NAME", help="First part of the run's name."),
    click.option("--seed", type=int, metavar="N", help="Seed of everything random."),
    click.option(
        "--workers", type=int, metavar="N", help="Worker processes of the embedded engine."
    ),
    click.option(
        "--report-to",
        multiple=True,
        metavar="SERVICE",
        help="tensorboard, wandb, mlflow or trackio; repeatable.",
    ),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any knob."),
)


def settings_options(command: Command) -> Command:
    """Add the flags that describe a run."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given(options: Mapping[str, Any]) -> list[str]:
    """The flags among them that were used, as they are typed."""
    return [_typed(name) for name, value in options.items() if value not in (None, ())]


def _typed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def resolve_options(options: Mapping[str, Any]) -> "Resolved":
    """The config that the flags and files describe. Raises UsageError."""
    from orchestrator.config_files import parse_setting, resolve
    from shared.settings import OPENROUTER_MODEL, openrouter_model

    flags = [
        (
            KEYS.get(flag, flag),
            _typed(flag),
            list(value) if isinstance(value, tuple) else value,
        )
        for flag, value in options.items()
        if flag not in {"configs", "settings"} and value not in (None, ())
    ]
    model = openrouter_model()
    environment = [("model", OPENROUTER_MODEL, model)] if model else []
    settings = map(parse_setting, options["settings"])
    return resolve(options["configs"], [*environment, *settings, *flags])


class FiniteRange(click.FloatRange):
    """Numbers between bounds. click compares only, and no comparison refuses a NaN."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return float(found)


def price_option(command: Command) -> Command:
    """Add ``--price``, for commands that take no config."""
    return click.option(
        "--price",
        "prices",
        multiple=True,
        metavar="MODEL=IN,OUT",
        help="Dollars per million tokens, in the list's place; repeatable.",
    )(command)


def checked_prices(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The prices of ``--price``. Raises UsageError."""
    from shared.errors import UsageError

    found = {}
    for text in given:
        model, _, numbers = text.rpartition("=")
        try:
            into, out = map(float, numbers.split(","))
            good = bool(model) and 0 <= into < float("inf") and 0 <= out < float("inf")
        except ValueError:
            good = False
        if not good:
            raise UsageError(
                f"--price {text!r}: write MODEL=IN,OUT in dollars per million tokens, such as"
                " --price gpt-x=0.5,1.5"
            )
        found[model] = (into, out)
    return found


def echo_json(value: Any, indent: int | None = None) -> None:
    """Print JSON to standard output, escaped where its encoding lacks characters."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    click.echo(json.dumps(value, ensure_ascii=not unicode, indent=indent))


def in_a_terminal() -> bool:
    """Whether somebody is there to be asked; a closed standard input is None."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask_for_trust(directory: "RunDirectory", trust: bool) -> None:
    """Approve the functions that a run names, if ``--trust`` or a person at the terminal says so.

    What needs them refuses a run that is not approved.
    """
    from orchestrator.approvals import approve, is_approved, question
    from orchestrator.stored_run import stored_config

    config = stored_config(directory)
    if is_approved(directory.path, config):
        return
    if not trust and in_a_terminal():
        click.echo(f"{question(directory.path, config)}.", err=True)
        trust = click.confirm("may they run as you?", default=False, err=True)
    if trust:
        approve(directory.path, config)


def shown_path(path: Path) -> str:
    """A path from the folder where this process was started, if it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
