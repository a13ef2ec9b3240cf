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
            "Check what a run needs, and ask each model one small question.",
        ),
        Entry(
            "estimate",
            "orchestrator.cli.money:estimate",
            "What a run would call and cost.",
        ),
        Entry("run", "orchestrator.cli.run:run", "Train a policy over prompts."),
    ),
    "Look": (
        Entry("runs", "orchestrator.cli.runs:runs", "List, show, compare and remove runs."),
        Entry(
            "report",
            "orchestrator.cli.report:report",
            "A run, or several side by side, as one HTML file.",
        ),
        Entry(
            "eval",
            "orchestrator.cli.evaluate:evaluate",
            "Compare a policy with the initial one and the plain prompt.",
        ),
        Entry(
            "ab",
            "orchestrator.cli.ab:ab",
            "Have a judge compare two runs, blind and in both orders.",
        ),
        Entry(
            "explain",
            "orchestrator.cli.explain:explain",
            "What each concept, template and feature is worth.",
        ),
        Entry(
            "replay",
            "orchestrator.cli.replay:replay",
            "Train again from a run's rollouts, for $0.",
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
            "Write a trained policy as one file.",
        ),
        Entry(
            "serve",
            "orchestrator.cli.serve:serve",
            "Serve a trained policy to every client of the OpenAI API.",
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
            "Watch the workers of a Redis server in the browser.",
        ),
        Entry(
            "demo-openrouter",
            "orchestrator.cli.standin:demo_openrouter",
            "Stand in for OpenRouter: no key, no network, no money.",
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
            "Complete commands, flags and runs with the Tab key.",
        ),
    ),
}
