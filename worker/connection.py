"""The worker's connections to Redis: commands are packed in C.

redis-py packs the commands of its asyncio client in Python; a governed call has some sixty words
to say, which cost as much CPU as the call's JSON.
"""

from redis.asyncio import Connection
from redis.connection import HiredisRespSerializer
from redis.typing import EncodableT


class PackedConnection(Connection):
    """A connection that packs like the synchronous client does. TLS keeps redis-py's own."""

    _packer = HiredisRespSerializer()

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        """The bytes of one command."""
        packed: list[bytes] = self._packer.pack(*args)  # type: ignore[arg-type]  # says list, takes all
        return packed
