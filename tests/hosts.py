"""Several hosts on one machine: network namespaces, each behind a cable that can be pulled."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_namespaces = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("ip") is None,
    reason="only root with iproute2 can make network namespaces",
)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


class Host:
    """A namespace with one cable to this machine; made by ``host``."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        #: This machine's end of the cable, and the addresses of both ends.
        self._cable = f"{name}-out"
        self.outside, self.inside = f"10.222.{number}.1", f"10.222.{number}.2"

    def set_up(self) -> None:
        _ip("netns", "add", self.name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("addr", "add", f"{self.outside}/24", "dev", self._cable)
        _ip("-n", self.name, "addr", "add", f"{self.inside}/24", "dev", "eth0")
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("-n", self.name, "link", "set", "eth0", "up")
        self.plug_in()

    def plug_in(self) -> None:
        _ip("link", "set", self._cable, "up")

    def pull_the_cable(self) -> None:
        _ip("link", "set", self._cable, "down")

    def command(self, *words: str) -> list[str]:
        """A command that runs on this host."""
        return ["ip", "netns", "exec", self.name, *words]

    def remove(self) -> None:
        _ip("netns", "del", self.name)


@contextmanager
def host(number: int) -> Iterator[Host]:
    """The ``number``-th host of a test."""
    made = Host(f"cg{os.getpid() % 10_000}h{number}", number)
    try:
        made.set_up()
        yield made
    finally:
        made.remove()
