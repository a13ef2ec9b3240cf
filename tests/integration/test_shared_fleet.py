"""Several runs on one fleet: the small one is not held up until the large one has ended."""

from contextlib import ExitStack
from pathlib import Path

from orchestrator.standin import Settings, running
from tests.openrouter_runs import arguments, pointed_at
from tests.running import metrics, only_run, started
from tests.working import worker_process


def test_a_small_run_goes_on_while_a_large_one_fills_the_queue(
    empty_url: str, workplace: Path
) -> None:
    # Given a large run with many batches in flight, on workers and permits for far fewer.
    with running(Settings(latency_ms=150, noise=0.1)) as standin, ExitStack() as stack:
        environment = pointed_at(standin)
        folders = {name: workplace / name for name in ("large", "small")}
        words = {}
        shared = (f"--redis={empty_url}", "--yes", "--no-live", "--set=max_inflight=16")
        for name, folder in folders.items():
            folder.mkdir()
            words[name] = arguments(folder, *shared, judge=False)
        for name in ("first", "second"):
            made = worker_process(empty_url, workplace, name, environment=environment)
            stack.enter_context(made)
        large = (*words["large"], "--steps=4000", "--set=max_staleness=4")
        run = started(*large, cwd=folders["large"], **environment)
        command = stack.enter_context(run)
        command.await_step(folders["large"], 2)
        before = len(metrics(only_run(folders["large"])))

        # When a small one joins.
        small = (*words["small"], "--steps=3", "--set=group_size=2")
        joined = started(*small, cwd=folders["small"], name="joined", **environment)
        how = stack.enter_context(joined).end()

        # Then it ends long before the large one, which goes on meanwhile.
        assert how.code == 0, how.err
        after = len(metrics(only_run(folders["large"])))
        assert command.process.poll() is None
        assert before < after < 4000
