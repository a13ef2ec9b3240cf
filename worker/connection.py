"""The worker's connections to Redis: commands are packed in C.

redis-py packs the commands of its asyncio client in Python; a governed call has some sixty words
to say, which cost as much CPU as the call's JSON.
"""

import hiredis
from redis.asyncio import Connection
from redis.typing import EncodableT


class PackedConnection(Connection):
    """A connection that packs like the synchronous client does. TLS keeps redis-py's own."""

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        """The bytes of one command, whose name may be two words."""
        words = str(args[0]).split() if isinstance(args[0], str) else [args[0]]
        return [hiredis.pack_command((*words, *args[1:]))]
