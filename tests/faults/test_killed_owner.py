"""An orchestrator that is killed hard leaves no server and no worker behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.embedded import Embedded
from tests.processes import alive, descendants, needs_proc, put_down, running, wait_until
from tests.running import ROOT, clean_environment

OWN_A_CLUSTER = """
import sys, time
from pathlib import Path
from orchestrator.embedded import Embedded
folder = Path(sys.argv[1])
with Embedded(folder / "state", folder / "logs", workers=2, groups=1) as cluster:
    cluster.await_workers()
    print("ready", flush=True)
    time.sleep(3600)
"""


@needs_proc
@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["process", "process group"])
def test_after_a_sigkill_of_the_owner_nothing_goes_on_running(
    tmp_path: Path, kill: Callable[[int, int], None]
) -> None:
    # Given a process of its own group that owns a server and two workers.
    owner = subprocess.Popen(
        [sys.executable, "-c", OWN_A_CLUSTER, str(tmp_path)],
        cwd=ROOT,
        env=clean_environment(tmp_path, {}),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert owner.stdout
        assert owner.stdout.readline() == "ready\n"
        children = descendants(owner.pid)
        assert len(running(children, "valkey")) == 1
        assert len(running(children, "-m worker")) == 2

        kill(owner.pid, signal.SIGKILL)

        wait_until(lambda: not any(map(alive, children)), "server, workers and keepers gone")
    finally:
        put_down(owner)

    # And the state folder is free for the next one.
    with Embedded(tmp_path / "state", tmp_path / "logs", workers=0, groups=1) as heir:
        assert heir.url
