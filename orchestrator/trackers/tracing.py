"""Spans of a run: a trace per step, with the step on top, and one of the whole attempt.

Attributes are the step's numbers under the names of ``metrics.jsonl``.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, Span

from orchestrator.alarms import Alarm
from orchestrator.evaluation import Evaluation
from orchestrator.ledger import Progress
from orchestrator.rollouts import Group, StepReport
from orchestrator.trackers.rows import evaluation_row, numbers, step_row
from shared.span_ids import SaidIds
from shared.tracing import FLUSH_MS, context_in, span_id, trace_id


class Tracing:
    """Makes the orchestrator's spans."""

    def __init__(self, provider: TracerProvider, run: str) -> None:
        """``provider`` has a ``SaidIds`` for its ids."""
        self._ids = provider.id_generator
        self._tracer = provider.get_tracer("concept-grpo")
        self._run = run
        self._attempt: Span | None = None
        #: When what is told of next began.
        self._since_ns = time.time_ns()

    def progress(self, step: int, purpose: str, progress: Progress) -> None:
        """Nothing: a span is what has ended."""

    def stepped(self, report: StepReport, groups: tuple[Group, ...]) -> None:
        """The step's span, on top of its trace."""
        self._span("step", report.step, step_row(report), on_top=True)

    def evaluated(self, evaluation: Evaluation) -> None:
        """The evaluation's span, in the trace of its step; the first is on top of its own."""
        row = evaluation_row(evaluation)
        on_top = evaluation.kind == "initial"
        self._span(f"evaluate {evaluation.kind}", evaluation.step, row, on_top)

    def alarmed(self, alarm: Alarm) -> None:
        """An event of the attempt's span."""
        if self._attempt is not None:
            self._attempt.add_event(f"alarm {alarm.kind}", {"cgrpo.step": alarm.step})

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """The span of the whole attempt: of the run, if it is not resumed."""
        with self._tracer.start_as_current_span("run", attributes={"cgrpo.run": self._run}) as span:
            self._attempt = span
            yield

    def _span(self, name: str, step: int, row: Mapping[str, Any], on_top: bool) -> None:
        now_ns = time.time_ns()
        attributes = {"cgrpo.run": self._run, "cgrpo.step": step, **numbers(row)}
        links = [Link(self._attempt.get_span_context())] if self._attempt is not None else []
        ids = trace_id(self._run, step), span_id(self._run, step)
        options: dict[str, Any] = {
            "attributes": attributes,
            "links": links,
            "start_time": self._since_ns,
        }
        if on_top:
            assert isinstance(self._ids, SaidIds), "the provider of spans lets ids be said"
            with self._ids.said(*ids):
                span = self._tracer.start_span(name, Context(), **options)
        else:
            span = self._tracer.start_span(name, context_in(self._run, step), **options)
        span.end(now_ns)
        self._since_ns = now_ns


@contextmanager
def traced(provider: TracerProvider, run: str) -> Iterator[Tracing]:
    """A run's spans, sent when it leaves."""
    tracing = Tracing(provider, run)
    try:
        with tracing.attempt():
            yield tracing
    finally:
        provider.force_flush(FLUSH_MS)
        provider.shutdown()
