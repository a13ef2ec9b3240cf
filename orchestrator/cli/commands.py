"""Every command, by what people want: its name, where it is, and its line in the help.

A new command is a line here. A test compares the line with the first sentence of the command's own
help; nothing of the command itself is loaded to show it.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """A command that is loaded when it is used."""

    #: As it is typed.
    name: str
    #: "module:attribute".
    place: str
    #: The first sentence of its help.
    help: str


#: Heading of the help -> its commands, in the order of a first use.
SECTIONS: Mapping[str, tuple[Entry, ...]] = {
    "Train": (
        Entry("init", "orchestrator.cli.init:init", "Make a folder that runs as it is."),
        Entry("data", "orchestrator.cli.data:data", "Look at data before a run does."),
        Entry(
            "doctor",
            "orchestrator.cli.money:doctor",
            "Check everything a run needs, a line each, with what to do.",
        ),
        Entry(
            "estimate",
            "orchestrator.cli.money:estimate",
            "What a run would call and cost, from the endpoint's own prices.",
        ),
        Entry("run", "orchestrator.cli.run:run", "Train a policy over prompts."),
    ),
    "Look": (
        Entry("runs", "orchestrator.cli.runs:runs", "List, show, compare and remove runs."),
        Entry(
            "explain",
            "orchestrator.cli.explain:explain",
            "What each concept, template and feature is worth, with intervals.",
        ),
        Entry(
            "replay",
            "orchestrator.cli.replay:replay",
            "Train again from a run's rollouts, with another reward or update: $0.",
        ),
    ),
    "Use": (
        Entry(
            "generate",
            "orchestrator.cli.generate:generate",
            "Answer TEXT with a trained policy in front of a model.",
        ),
        Entry(
            "export",
            "orchestrator.cli.export:export",
            "Write a trained policy as one file that needs neither its run nor this program.",
        ),
        Entry(
            "serve",
            "orchestrator.cli.serve:serve",
            "Put a trained policy in front of a model, for every client of the OpenAI API.",
        ),
    ),
    "Run the fleet": (
        Entry(
            "worker",
            "orchestrator.cli.services:worker",
            "Work for the runs of a Redis server, until stopped.",
        ),
        Entry(
            "flower",
            "orchestrator.cli.services:flower",
            "Watch the workers of a Redis server in the browser, behind a password.",
        ),
        Entry(
            "demo-openrouter",
            "orchestrator.cli.standin:demo_openrouter",
            "Stand in for OpenRouter on this machine: no key, no network, no money.",
        ),
    ),
    "Editors and shells": (
        Entry(
            "schema",
            "orchestrator.cli.schema:schema",
            "JSON Schema of a config, a domain or a data record.",
        ),
        Entry(
            "completion",
            "orchestrator.cli.completion:completion",
            "Complete commands, flags and names of runs with the Tab key.",
        ),
    ),
}
