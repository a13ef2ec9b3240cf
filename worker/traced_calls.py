"""Spans of a worker: a task, and in it each call of a model, by GenAI semantic conventions.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ . Numbers and names only: no prompt, no answer.
"""

import time

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from shared.span_ids import SaidIds
from shared.tracing import context_in, span_id, trace_id
from worker.calls import FINE
from worker.slots import GroupTask
from worker.watching import EndedCall


class TracedCalls:
    """Makes a worker's spans."""

    def __init__(self, provider: TracerProvider) -> None:
        """``provider`` has a ``SaidIds`` for its ids."""
        self._ids = provider.id_generator
        self._tracer = provider.get_tracer("concept-grpo")

    def called(self, call: EndedCall) -> None:
        """The span of a call, within its task's."""
        now_ns = time.time_ns()
        task, outcome = call.task, call.found.fault
        span = self._tracer.start_span(
            f"chat {call.model}",
            context_in(task.run, task.step, task.group, task.role, task.attempt),
            SpanKind.CLIENT,
            attributes=_attributes(call),
            start_time=now_ns - int(call.seconds * 1e9),
        )
        if outcome != FINE:
            span.set_attribute("error.type", outcome)
            span.set_status(Status(StatusCode.ERROR))
        span.end(now_ns)

    def paused(self, scope: str, seconds: float) -> None:
        """Nothing: the fault's span says what it was."""

    def worked(self, task: GroupTask, seconds: float) -> None:
        """The span of a task, within its step's."""
        now_ns = time.time_ns()
        assert isinstance(self._ids, SaidIds), "the provider of spans lets ids be said"
        with self._ids.said(trace_id(task.run, task.step), span_id(*_names(task))):
            span = self._tracer.start_span(
                task.role,
                context_in(task.run, task.step),
                SpanKind.CONSUMER,
                attributes={
                    "cgrpo.run": task.run,
                    "cgrpo.step": task.step,
                    "cgrpo.group": task.group,
                    "cgrpo.attempt": task.attempt,
                },
                start_time=now_ns - int(seconds * 1e9),
            )
        span.end(now_ns)


def _names(task: GroupTask) -> tuple[object, ...]:
    return task.run, task.step, task.group, task.role, task.attempt


def _attributes(call: EndedCall) -> dict[str, AttributeValue]:
    answer = call.found.answer
    found: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openrouter",
        "gen_ai.request.model": call.model,
        "cgrpo.role": call.role,
        "cgrpo.call": call.id,
    }
    if answer is not None:
        reason = answer.finish_reason
        found |= {
            "gen_ai.response.model": answer.model or None,
            "gen_ai.response.id": answer.generation_id or None,
            "gen_ai.response.finish_reasons": [reason] if reason else None,
            "gen_ai.usage.input_tokens": answer.prompt_tokens,
            "gen_ai.usage.output_tokens": answer.completion_tokens,
            "cgrpo.cost_usd": answer.cost_usd,
        }
    return {name: value for name, value in found.items() if value is not None}
