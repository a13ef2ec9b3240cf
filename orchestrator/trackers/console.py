"""The terminal: live on a terminal, at most one plain line in 5 s otherwise. Words go to stderr."""

import sys
import time
from collections.abc import Mapping
from typing import Self

from rich.console import Console as Terminal
from rich.console import Group as Rows
from rich.live import Live
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from orchestrator.alarms import Alarm
from orchestrator.domains import Domain
from orchestrator.evaluation import Evaluation
from orchestrator.ledger import Progress
from orchestrator.rollouts import Group, StepReport
from orchestrator.trackers.fleet_changes import FleetChanges
from shared.terminal import styled, visible

SPARKS = "▁▂▃▄▅▆▇█"
#: Seconds between two plain lines.
PLAIN_INTERVAL_S = 5.0
SPARKLINE_LENGTH = 24
PAID_ROLES = ("generate", "judge", "eval")


class Console:
    """Shows a run while it goes on. A context manager."""

    def __init__(
        self, steps: int, first_step: int, domains: Mapping[str, Domain], live: bool
    ) -> None:
        self._terminal = Terminal(file=styled(sys.stderr), highlight=False)
        self._steps = steps
        self._domains = domains
        self._rewards: list[float] = []
        self._held_out: list[float] = []
        self._entropies: list[float] = []
        self._line: dict[str, str] = {}
        self._done = self._failed = 0
        self._last_plain = 0.0
        self._draining = False
        self._fleet = FleetChanges()
        #: The (model, provider) pairs of the first step shown; None = none yet.
        self._served: set[tuple[str, str]] | None = None
        self._warned = False
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=36),
            TextColumn("{task.fields[left]}"),
        )
        self._task = self._bar.add_task("start", total=steps, completed=first_step - 1, left="")
        self._first_step, self._started = first_step, time.monotonic()
        self._live = (
            Live(self._view(), console=self._terminal, refresh_per_second=8, transient=True)
            if live and self._terminal.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def progress(self, step: int, purpose: str, progress: Progress) -> None:
        """The numbers of the step that is on its way."""
        what = f"step {step}/{self._steps}" if purpose == "train" else f"held-out after {step}"
        self._bar.update(self._task, description=what)
        ended = progress.scored + progress.failed
        again = f" · {progress.resubmitted} groups submitted again" if progress.resubmitted else ""
        self._line["calls"] = (
            f"{self._done + progress.scored:,} ok · {self._failed + progress.failed} failed"
            f"    in flight {progress.slots - ended}{again}"
        )
        self._fleet.seen(progress.workers, progress.resubmitted)
        if progress.workers == 0:
            self._line["calls"] += "    no worker alive"
        if progress.draining and not self._draining:
            self._draining = True
            self._terminal.print(
                "stopping after the calls in flight (Ctrl-C again: stop now)."
                f" {ended} of {progress.slots} done …"
            )
        self._show()

    def evaluated(self, evaluation: Evaluation) -> None:
        """The held-out line."""
        scored = sum(len(group.survivors()) for group in evaluation.groups)
        self._done, self._failed = self._done + scored, self._failed + evaluation.failed
        if evaluation.reward is not None and evaluation.kind != "plain":
            self._held_out.append(evaluation.reward)
        self._show()

    def stepped(self, report: StepReport, groups: tuple[Group, ...]) -> None:
        """Every line of the view."""
        m = report.metrics
        failed = int(m["failed"] or 0)
        self._done += int(m["rollouts"] or 0) - failed
        self._failed += failed
        self._rewards.append(float(m["reward"] or 0.0))
        self._entropies.append(float(m["entropy"] or 0.0))
        parts = [
            f"{name.split('/')[1]} {value:.2f}"
            for name, value in m.items()
            if name.startswith("rewards/") and value is not None
        ]
        self._line["parts"] = "  ".join(parts)
        clipped = f"  clipped {m['clip_ratio']:.0%}" if m["clip_ratio"] else ""
        self._line["policy"] = (
            f"entropy {self._entropies[0]:.2f} -> {self._entropies[-1]:.2f}  KL {m['kl']:.3f}"
            f"{clipped}  groups without signal {m['frac_reward_zero_std']:.0%}"
        )
        self._line["time"] = _times(m)
        self._line["cost"] = _cost(m, self._steps / report.step)
        self._line["sample"] = self._sample(groups)
        self._warn_of_change(report.step, groups)
        if change := self._fleet.ended(report.step, m):
            self._say(change)
        self._bar.update(self._task, completed=report.step, left=self._left(report.step))
        self._show(step=report.step)

    def alarmed(self, alarm: Alarm) -> None:
        """A line that stays."""
        self._say(f"alarm (step {alarm.step}): {alarm.words}")

    def _warn_of_change(self, step: int, groups: tuple[Group, ...]) -> None:
        """Once: what answers is not what answered in the first step."""
        now = {
            (r.completion.model, r.completion.provider)
            for group in groups
            for r in group.rollouts
            if r.completion is not None
        }
        if self._served is None:
            self._served = now
        elif new := sorted(now - self._served):
            model, provider = new[0]
            if not self._warned:
                words = (
                    f"warning: since step {step} {model} at {provider} answers too; what is learnt"
                    " may not be comparable"
                )
                self._say(words)
            self._warned = True

    def _left(self, step: int) -> str:
        done = step - self._first_step + 1
        seconds = (time.monotonic() - self._started) / done * (self._steps - step)
        return f"{seconds:.1f} s left" if seconds < 60 else f"{seconds / 60:.0f} min left"

    def _sample(self, groups: tuple[Group, ...]) -> str:
        scored = [
            (r.reward.value, g, r) for g in groups for r in g.rollouts if r.reward is not None
        ]
        if not scored:
            return ""
        value, group, rollout = max(scored, key=lambda row: row[0])
        domain, action = self._domains[group.domain], rollout.action
        concepts = " + ".join(domain.concepts[i] for i in action.concepts)
        text = " ".join(group.example.text.split())
        short = text if len(text) <= 48 else text[:47] + "…"
        return f'[{value:.2f}] "{short}" -> {concepts}, template {action.template + 1}'

    def _show(self, step: int | None = None) -> None:
        if self._live:
            self._live.update(self._view())
        elif step is not None:
            now = time.monotonic()
            if step == self._steps or now - self._last_plain >= PLAIN_INTERVAL_S:
                self._last_plain = now
                self._say(self._plain(step))

    def _say(self, words: str) -> None:
        # Endpoints and data have a part in the words: they are no markup and no control sequence.
        self._terminal.print(Text(visible(words)), soft_wrap=True)

    def _plain(self, step: int) -> str:
        held_out = f"  held-out {self._held_out[-1]:.3f}" if self._held_out else ""
        return (
            f"step {step}/{self._steps}  reward {self._rewards[-1]:.3f}{held_out}"
            f"  {self._line['policy']}  calls {self._done:,} ok · {self._failed} failed"
            f"{'  cost ' + self._line['cost'] if self._line['cost'] else ''}"
        )

    def _view(self) -> Rows:
        rows: list[object] = [self._bar]
        if self._rewards:
            rows.append(self._row("reward", f"{self._rewards[-1]:.3f} {sparkline(self._rewards)}"
                                            f"  (start {self._rewards[0]:.3f})"
                                            + self._held_out_words()))  # fmt: skip
        for name in ("parts", "policy", "calls", "cost", "time", "sample"):
            if self._line.get(name):
                rows.append(self._row(name, self._line[name]))
        return Rows(*rows)  # type: ignore[arg-type]

    def _held_out_words(self) -> str:
        if not self._held_out:
            return ""
        return f"     held-out {self._held_out[-1]:.3f} (start {self._held_out[0]:.3f})"

    def _row(self, name: str, words: str) -> Text:
        return Text.assemble(
            "  ", (f"{name:<8} ", "dim"), visible(words), overflow="ellipsis", no_wrap=True
        )


def sparkline(values: list[float]) -> str:
    """The last values as one line of blocks, low to high."""
    shown = values[-SPARKLINE_LENGTH:]
    low, high = min(shown), max(shown)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((value - low) * scale)] for value in shown)


def _cost(m: Mapping[str, float | int | None], times: float) -> str:
    """Dollars by role so far, and about how many at the end: ``times`` as many steps. Empty where
    nothing is paid for."""
    if not m.get("calls"):
        return ""
    roles = " · ".join(f"{role} ${m[f'cost/{role}'] or 0:.3f}" for role in PAID_ROLES)
    faulty = f"    {m['calls/faulty']} faulty calls" if m["calls/faulty"] else ""
    faulty += f"    {m['calls/cut']} cut at max_tokens" if m.get("calls/cut") else ""
    total = float(m["cost/total"] or 0)
    if unpriced := m.get("cost/unpriced_calls"):
        known = f"${total:.3f} and " if total else ""
        return f"{known}unknown cost of {unpriced} calls{faulty}"
    return f"${total:.3f} ({roles})  ~${times * total:.2f} at the end{faulty}"


def _times(m: Mapping[str, float | int | None]) -> str:
    p50, p95 = float(m["completion_s/p50"] or 0), float(m["completion_s/p95"] or 0)
    return f"completion p50 {1000 * p50:.0f} ms  p95 {1000 * p95:.0f} ms  step {m['step_s']:.2f} s"
