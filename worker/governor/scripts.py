"""The governor's Lua scripts: one decision each, on the server's clock."""

from importlib.resources import files

from worker.scripting import Script, Scripting
from worker.slots import lua


def _text(*names: str) -> str:
    """The files one after the other: what several scripts share comes first."""
    folder = files("worker.governor")
    return "\n".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)


class Scripts:
    """The scripts on one client."""

    def __init__(self, scripting: Scripting) -> None:
        def script(*names: str) -> Script:
            return scripting.script(_text(*names))

        self.admit = script("instants", "ledger", "line", "admit")
        # An answer and its money are one: the settlement keeps both.
        self.settle = scripting.script(
            lua("commit") + _text("instants", "ledger", "line", "settle")
        )
        self.withdraw = script("instants", "ledger", "line", "withdraw")
        self.resolve = script("instants", "ledger", "resolve")
        self.pause = script("instants", "pause")
        self.stop = script("instants", "ledger", "line", "stop")
