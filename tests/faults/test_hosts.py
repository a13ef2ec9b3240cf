"""Workers on hosts of their own, one of which loses its network in the middle of a run."""

from contextlib import ExitStack
from pathlib import Path

from tests.hosts import host, needs_namespaces
from tests.proxy import proxying
from tests.running import SMALL, Ended, held_after, let_go, metrics, only_run, started
from tests.working import worker_process

pytestmark = needs_namespaces


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
        options = ("--no-live", f"--redis={empty_url}", held_after(1, workplace))
        command = stack.enter_context(started("run", *SMALL, *options, cwd=workplace))
        command.await_hold(workplace)

        # When one host is cut off, without a word to anybody, and comes back a step later.
        hosts[0].pull_the_cable()
        let_go(workplace)
        command.await_step(workplace, 2)
        hosts[0].plug_in()

        # Then its groups were done elsewhere, and what it still says changes nothing.
        how = command.end()
    assert how.code == 0, how.err
    assert Ended(how, workplace).policy == small_run.policy
    assert [row["step"] for row in metrics(only_run(workplace))] == [1, 2, 3, 4]
