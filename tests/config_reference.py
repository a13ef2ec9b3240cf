"""docs/config.md, made of the sentences of RunConfig: python -m tests.config_reference"""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from orchestrator.algorithm import Clipped, Natural
from orchestrator.config import Columns, RunConfig
from orchestrator.config_files import SEED_NAMES

FILE = Path(__file__).parents[1] / "docs" / "config.md"
HEAD = """\
# Config

Made of the sentences in `orchestrator/config.py` and `orchestrator/algorithm.py` by `python -m
tests.config_reference`; a test compares it with them.

A config is a TOML file, or several: `orchestrator run a.toml b.toml`. Later files win over earlier
ones, and flags and `--set key=value` over all. A key that does not exist is an error with a
suggestion. `--dry-run` shows every value and where it came from; `orchestrator schema config` is
the JSON Schema for editors. Secrets and addresses are no part of a config: they come from the
environment.

| variable | |
|---|---|
| `OPENROUTER_API_KEY` | key of the model endpoint |
| `OPENROUTER_BASE_URL` | another endpoint that speaks the OpenAI chat API |
| `OPENROUTER_MODEL` | model of the Python API, if none is named there |
| `REDIS_URL` | Redis server in place of the embedded one |
| `ORCHESTRATOR_METRICS_PORT`, `METRICS_HOST` | [monitoring.md](monitoring.md) |
| `WORKER_METRICS_PORT` | the same of a worker |
| `WORKER_GROUPS`, `WORKER_LEASE_S` | `-c` and `--lease-s` of `orchestrator worker` |
| `FLOWER_BASIC_AUTH` | `user:password` of Flower |
"""
#: First key of each part, and the part's title.
PARTS = {
    "name": "The run",
    "data": "Data and domains",
    "max_steps": "Steps and groups",
    "concepts_per_prompt": "What a prompt asks for",
    "model": "The model",
    "judge_models": "The judge",
    "max_cost_usd": "Money, rate and patience",
    "reward_funcs": "Rewards",
    "eval_interval": "Held-out evaluation, and when to stop",
    "step_deadline_s": "The engine",
    "report_to": "Who is told",
}
TABLES: dict[str, tuple[str, type[BaseModel]]] = {
    "columns": ("[columns]", Columns),
    "natural": ('[algorithm] with solver = "natural", the default', Natural),
    "clipped": ('[algorithm] with solver = "clipped"', Clipped),
}


def reference() -> str:
    """The whole file."""
    lines = [HEAD]
    for name, row in _rows(RunConfig):
        if name in PARTS:
            lines += [f"\n## {PARTS[name]}\n", "| key | default | |", "|---|---|---|"]
        lines.append(row)
    for title, model in TABLES.values():
        words = (model.__doc__ or "").replace("``", "`").strip()
        lines += [f"\n## {title}\n", f"{words}\n", "| key | default | |", "|---|---|---|"]
        lines += [row for _, row in _rows(model)]
    seed = ", ".join(f"`{theirs}` = `{ours}`" for theirs, ours in SEED_NAMES.items())
    lines += [
        "\n## The seed's names\n",
        f"In JSON configs: {seed}; they choose the clipped solver.",
    ]
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            shown = "see below"
        else:
            shown = "" if default is None else f"`{json.dumps(default)}`"
        words = " ".join((field.description or "").split()).replace("|", "\\|")
        yield name, f"| `{name}` | {shown} | {words} |"


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
