"""Workers on hosts of their own, one of which loses its network in the middle of a run."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.hosts import host, needs_namespaces
from tests.proxy import proxying
from tests.running import SMALL, Ended, metrics, only_run, started
from tests.working import worker_process

pytestmark = [needs_namespaces, pytest.mark.timeout(120)]


def test_a_host_that_loses_its_network_is_replaced_and_may_come_back(
    empty_url: str, workplace: Path, small_run: Ended
) -> None:
    with ExitStack() as stack:
        hosts = [stack.enter_context(host(number)) for number in (1, 2)]
        for machine in hosts:
            # The server listens on loopback; each host reaches it by its own cable.
            proxy = stack.enter_context(proxying(empty_url, machine.outside))
            worker = worker_process(
                proxy.url, workplace, machine.name, prefix=machine.command(), seen_from=empty_url
            )
            stack.enter_context(worker)
        slow = ("--set=template_latency_s=0.5", "--no-live", f"--redis={empty_url}")
        command = stack.enter_context(started("run", *SMALL, *slow, cwd=workplace))
        command.await_step(workplace, 1)

        # When one host is cut off, without a word to anybody.
        hosts[0].pull_the_cable()
        step = len(metrics(only_run(workplace)))
        command.await_step(workplace, step + 1, within_s=20)
        hosts[0].plug_in()
        time.sleep(1)

        # Then its groups were done elsewhere, and what it still says changes nothing.
        how = command.end(60)
    assert how.code == 0, how.err
    assert Ended(how, workplace).policy == small_run.policy
    assert [row["step"] for row in metrics(only_run(workplace))] == [1, 2, 3, 4]
