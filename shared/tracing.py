"""OpenTelemetry: off unless OTEL_EXPORTER_OTLP_ENDPOINT is set and the extra ``otel`` is installed.

A trace is a step. Its ids follow from the run's name and the step, which every task carries anyway,
so that the spans of all workers hang together and nothing more travels. No span holds a prompt, an
answer or a secret. Sampling, headers, names: OpenTelemetry's own variables.
"""

import hashlib
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
EXPORTER = "opentelemetry.exporter.otlp.proto.http"
#: Milliseconds that the last spans have to leave.
FLUSH_MS = 5000


def tracing_wanted() -> bool:
    """Whether spans are made."""
    if not os.environ.get(ENDPOINT, "").strip():
        return False
    try:
        # Other packages bring a part of OpenTelemetry along, which is not enough.
        return all(
            find_spec(f"opentelemetry.{name}") for name in ("sdk", "exporter.otlp.proto.http")
        )
    except ModuleNotFoundError:
        return False


def missing_exporter() -> str:
    """What keeps spans from being sent although an endpoint is named; empty: nothing."""
    if tracing_wanted() or not os.environ.get(ENDPOINT, "").strip():
        return ""
    return (
        f"{ENDPOINT} is set, but no spans are sent: pip install opentelemetry-sdk"
        " opentelemetry-exporter-otlp-proto-http"
    )


def tracer_provider(service: str) -> "TracerProvider":
    """A provider that sends to the endpoint of the environment."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from shared.span_ids import SaidIds

    name = os.environ.get("OTEL_SERVICE_NAME") or service
    resource = Resource.create({SERVICE_NAME: name})
    provider = TracerProvider(resource=resource, id_generator=SaidIds())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def trace_id(run: str, step: int) -> int:
    """The trace of a step, 128 bits."""
    return _number(f"{run}/{step}", 16)


def span_id(*names: object) -> int:
    """The span of a step (run, step) or of a task (run, step, group, role, attempt), 64 bits."""
    return _number("/".join(map(str, names)), 8)


def context_in(run: str, step: int, *names: object) -> "Context":
    """The context of the step's span, or of a task's: parent of what happens in it."""
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    flags = TraceFlags(TraceFlags.SAMPLED)
    parent = SpanContext(trace_id(run, step), span_id(run, step, *names), True, flags)
    return set_span_in_context(NonRecordingSpan(parent))


def _number(text: str, size: int) -> int:
    # Never 0, which is no id.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big") or 1
