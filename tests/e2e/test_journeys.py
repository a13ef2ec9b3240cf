"""The journeys of newcomers and of people with a domain of their own, typed into a terminal.

What is compared is the information that is shown, not how it is worded or laid out.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.data import BUILTIN_HELDOUT, BUILTIN_TRAIN
from orchestrator.standin import DEFAULT_KEY, Running, Settings, running
from tests.openrouter_runs import JUDGE, await_held, hold_step, let_answers_go, nusd, result
from tests.running import ORCHESTRATOR, ROOT, json_lines, only_run
from tests.standin_calls import MODEL
from tests.terminal import CTRL_C, Terminal, terminal

NUMBER = r"[-+]?\d[\d,.]*"
#: A key with some credit left.
CALM = Settings(latency_ms=20, key_limit=12.4)


def shows(shown: str, *patterns: str) -> None:
    """Every pattern is in what is shown, in that order."""
    at = 0
    for pattern in patterns:
        found = re.compile(pattern).search(shown, at)
        assert found, f"{pattern!r} does not follow in\n{shown}"
        at = found.end()


def lay_out_a_clone(folder: Path) -> None:
    """What ``make run`` needs of a clone that was installed before."""
    for name in ("pyproject.toml", "Makefile"):
        shutil.copy2(ROOT / name, folder / name)
    shutil.copytree(ROOT / "locks", folder / "locks")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "orchestrator").symlink_to(ORCHESTRATOR)
    (folder / ".venv" / ".run-stamp").touch()


def test_a_newcomer_without_key_and_server(workplace: Path) -> None:
    lay_out_a_clone(workplace)
    with terminal(workplace) as person:
        shown = person.run("make run")

        shows(
            shown,
            r"orchestrator \d+\.\d+\.\d+   run seed--template--\d{8}-\d{4}-[0-9a-f]{4}",
            r"engine   embedded Valkey \d.* \+ 1 worker \(32 groups at a time\) +<- scale out",
            r"model    template engine \(built in.*free.*<- a real one: --model",
            r"domains  quantum computing, machine learning, neural networks: \d+ concepts",
            r"data     \d+ prompts · held out \d+",
            r"plan     20 steps x 8 prompts x 8 slots = 1,280 rollouts.* cost \$0\.00",
        )
        shows(shown, r"step \d+/20 ━.* [\d.]+ s left")
        shows(
            shown, rf"reward   {NUMBER} [▁-█]+  \(start {NUMBER}\)     held-out {NUMBER} \(start "
        )
        shows(shown, r"parts    length [\d.]+  vocabulary [\d.]+  structure [\d.]+  quality [\d.]+")
        shows(shown, r"policy   entropy [\d.]+ -> [\d.]+  KL [\d.]+  groups without signal \d+%")
        shows(shown, r"calls    [\d,]+ ok · 0 failed    in flight \d+")
        shows(shown, r"time     completion p50 \d+ ms  p95 \d+ ms")
        shows(shown, r'sample   \[0\.\d\d\] ".*" -> .+ \+ .+, template \d')
        shows(
            shown,
            r"done in [\d.]+ s",
            r"start +end +change \(95% CI\)",
            rf"held-out reward +{NUMBER} +{NUMBER} +\+{NUMBER}  \[\+{NUMBER}, \+{NUMBER}\] +IMPR"
            r"OVED, better on \d+ of \d+ prompts",
            rf"length 30% +{NUMBER} +{NUMBER} +{NUMBER}",
            r"learnt   ▲ [a-z ]+ 0\.\d\d -> 0\.\d\d",
            r"template \d \([a-z ]+\) 0\.\d\d -> 0\.\d\d",
            r"policy   runs/(\S+)/policy\.json",
            r"report   runs/(\S+)/report\.html",
            r"next     orchestrator generate runs/\S+ '.+'",
            r"orchestrator init my-domain",
        )
        # What it says comes next works.
        latest = person.run('orchestrator generate latest "Explain qubits"')
        assert "Qubits" in latest or "qubits" in latest
        person.run("orchestrator init my-domain")
    assert (only_run(workplace) / "report.html").stat().st_size > 10_000
    assert (workplace / "runs" / "latest" / "policy.json").is_file()
    assert (workplace / "my-domain" / "run.toml").is_file()


@pytest.fixture
def standin() -> Iterator[Running]:
    with running(CALM) as standin:
        yield standin


@pytest.fixture
def support(workplace: Path) -> Path:
    """A folder with a run of one's own: a domain, prompts, and some that match no domain."""
    folder = workplace / "support"
    folder.mkdir()
    domain = ROOT / "orchestrator" / "builtin" / "domains" / "quantum-computing.toml"
    shutil.copy(domain, folder / "domain.toml")
    lines = BUILTIN_TRAIN.read_text("utf-8").splitlines()
    mine = [line for line in lines if "quantum" in line][:4]
    mine.insert(2, json.dumps({"text": "How do I bake bread?"}))
    (folder / "train.jsonl").write_text("\n".join(mine) + "\n", "utf-8")
    held = [line for line in BUILTIN_HELDOUT.read_text("utf-8").splitlines() if "quantum" in line]
    (folder / "heldout.jsonl").write_text("\n".join(held[:2]) + "\n", "utf-8")
    (folder / "run.toml").write_text(
        'name = "support"\n'
        'data = "support/train.jsonl"\nheldout = "support/heldout.jsonl"\n'
        'domains = ["support/domain.toml"]\nmatch = "words"\n'
        f'model = "{MODEL}"\njudge_models = ["{JUDGE}"]\n'
        "worker_lease_s = 60\nmax_steps = 3\nbatch_size = 4\ngroup_size = 4\nmax_inflight = 4\n"
        "eval_interval = 0\neval_samples = 1\nmax_tokens = 800\n",
        "utf-8",
    )
    return folder


def start_and_stop(person: Terminal, standin: Running) -> str:
    """Start the run, answer its question, and press Ctrl-C in its second step."""
    person.type("orchestrator run support/run.toml --budget 0.028")
    asked = person.wait_for(r"start\? \[Y/n\]")
    shows(
        asked,
        r"preflight +config, domains, data ok · key ok \(\$12\.40 left\) · models ok · workers",
        r"model    mistralai/\S+ \(\$[\d.]+ in, \$[\d.]+ out per 1M tokens",
        r"judge    anthropic/\S+ \(\$",
        r"domains  quantum computing: \d+ concepts, \d+ templates",
        r"data     4 prompts · held out 2 · 1 match no domain and are left out \(line 3\)",
        r"plan     3 steps x 4 prompts x 4 slots = 48 rollouts",
        r"estimate 54 generations \+ 54 judgements",
        r"expected \$[\d.]+   ceiling \$[\d.]+ \(every reply at max_tokens\)",
        r"cap \$0\.0280: stops in step ~\d if every reply is that long",
    )
    hold_step(standin, 2)
    person.type("y")
    await_held(standin)
    person.wait_for(r"step 2/3")
    person.press(CTRL_C)
    person.wait_for(r"stopping after the calls in flight")
    let_answers_go(standin)
    return person.end(130)


def test_an_own_domain_a_key_a_cap_ctrl_c_and_resume(
    standin: Running, workplace: Path, support: Path
) -> None:
    with terminal(workplace, {"OPENROUTER_BASE_URL": standin.base_url}) as person:
        person.run(f"export OPENROUTER_API_KEY={DEFAULT_KEY}")
        shown = person.run("orchestrator doctor support/run.toml")
        shows(shown, r"ok +config", r"ok +key +ok, \$12\.40 left", r"ok +models", r"ok +engine")
        # The doctor's two questions are no part of the run.
        shows(
            shown, r"ok +answer +model .* in [\d.]+ s, \$0\.0000", r"ok +answer +judge .*score \d"
        )
        before = standin.control("ledger")["total_nano_usd"]
        assert 0 < before < 1e6

        stopped = start_and_stop(person, standin)

        shows(stopped, r"cost     \$[\d.]+ \(generate .* judge .*\)  ~\$[\d.]+ at the end")
        shows(
            stopped,
            r"stopping after the calls in flight \(Ctrl-C again: stop now\)\. \d+ of 16 done …",
            rf"saved step 1 of 3 -> runs/support--\S+   spent \$({NUMBER})   \(exit 130\)",
            r"resume  orchestrator run --resume support--",
        )
        spent = float(re.findall(r"spent \$([\d.]+)", stopped)[0])
        billed = standin.control("ledger")["total_nano_usd"] - before
        assert spent == pytest.approx(billed / 1e9, abs=1e-4)

        resumed = person.run("orchestrator run --resume latest")

    found = re.search(
        r"resuming support--\S+ at step 2/3; reusing (\d+) completions and \d+ rewards"
        r" \(\$([\d.]+) not spent twice\); budget left \$([\d.]+)",
        resumed,
    )
    assert found, resumed
    assert 0 < int(found[1]) < 16
    assert 0 < float(found[2]) < spent
    assert float(found[3]) == pytest.approx(0.028 - spent, abs=2e-4)
    shows(resumed, r"done in", r"held-out reward", r"against no concepts", r"cost     \$[\d.]+ for")
    ledger = standin.control("ledger")
    assert ledger["bodies_billed_more_than_once"] == 0
    assert ledger["total_nano_usd"] - before == nusd(result(workplace)["cost"], "spent")
    names = [
        (row["purpose"], row["step"], row["group"], row["slot"])
        for row in json_lines((only_run(workplace) / "rollouts.jsonl").read_text("utf-8"))
    ]
    assert len(names) == len(set(names)) == 48 + 3 * 2
