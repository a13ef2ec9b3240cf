"""The governor's Lua scripts: one decision each, on the server's clock."""

from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from worker.slots import lua


def _text(*names: str) -> str:
    """The files one after the other: what several scripts share comes first."""
    folder = files("worker.governor")
    return "\n".join(folder.joinpath(f"{name}.lua").read_text("utf-8") for name in names)


class Scripts:
    """The scripts on one client; each is sent to the server once."""

    def __init__(self, redis: Redis) -> None:
        def script(*names: str) -> AsyncScript:
            return redis.register_script(_text(*names))

        self.admit = script("ledger", "line", "admit")
        # An answer and its money are one: the settlement keeps both.
        self.settle = redis.register_script(lua("commit") + _text("ledger", "line", "settle"))
        self.withdraw = script("ledger", "line", "withdraw")
        self.resolve = script("ledger", "resolve")
        self.pause = script("pause")
        self.stop = script("ledger", "line", "stop")
