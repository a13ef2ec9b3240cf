"""Spans, as OpenTelemetry's own in-memory exporter holds them and as they leave a real run."""

import gzip
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.alarms import Alarm
from orchestrator.rollouts import StepReport
from orchestrator.standin import DEFAULT_KEY, Settings
from orchestrator.standin.background import running
from orchestrator.trackers.tracing import Tracing
from shared.messages import FailureKind
from shared.span_ids import SaidIds
from shared.tracing import missing_exporter, tracing_wanted
from shared.wire.verdicts import Answer, Billed, Classified, Scope, Verdict
from tests.openrouter_runs import arguments, pointed_at
from tests.running import json_lines, only_run, orchestrator
from worker.slots import GroupTask
from worker.traced_calls import TracedCalls
from worker.watching import EndedCall

TASK = GroupTask("mine", 3, "e017", "generate", 1)
SECRET = "what the model wrote"
ANSWER = Answer(
    text=SECRET,
    reasoned=False,
    characters=len(SECRET),
    refusal=False,
    model="model-2026",
    provider="",
    finish_reason="stop",
    native_finish_reason="stop",
    prompt_tokens=12,
    completion_tokens=34,
    cost_usd=0.001,
    generation_id="gen-1",
    cache_hit=False,
    source_id="",
    truncated=False,
)


def classified(fault: str, verdict: Verdict, answer: Answer | None) -> Classified:
    kind, billed = FailureKind.TIMEOUT, Billed.PERHAPS
    return Classified(
        verdict, fault, Scope.REQUEST, None, SECRET, kind, billed, False, True, answer
    )


@contextmanager
def spans() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(id_generator=SaidIds())
    provider.add_span_processor(SimpleSpanProcessor(memory))
    yield provider, memory
    provider.shutdown()


def ids(span: ReadableSpan) -> tuple[int, int, int | None]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id, span.parent.span_id if span.parent else None


def test_step_task_and_call_hang_together_though_nothing_but_ids_travelled() -> None:
    # Given an orchestrator and a worker that share no process.
    with spans() as (there, orchestrators), spans() as (here, workers):
        worker = TracedCalls(here)
        call_id = "mine/s003/e017/k2/generate"
        fine = classified("ok", Verdict.COMPLETION, ANSWER)
        late = classified("timeout", Verdict.RETRY, None)
        worker.called(EndedCall(TASK, call_id, "generate", "some/model", 0.5, fine))
        worker.called(EndedCall(TASK, call_id, "generate", "some/model", 9.0, late))
        worker.worked(TASK, 1.0)
        tracing = Tracing(there, "mine")
        with tracing.attempt():
            tracing.stepped(StepReport(3, {"reward": 0.5, "kl": 0.1}), ())
            tracing.alarmed(Alarm(3, "length", "longer and longer"))
        step, attempt = orchestrators.get_finished_spans()
        good, bad, task = workers.get_finished_spans()

    # Then the call is in the task, and the task in the step, in one trace.
    assert (step.name, task.name, good.name) == ("step", "generate", "chat some/model")
    assert ids(step)[0] == ids(task)[0] == ids(good)[0]
    assert ids(step)[2] is None
    assert ids(task)[2] == ids(step)[1]
    assert ids(good)[2] == ids(bad)[2] == ids(task)[1]
    assert ids(attempt)[0] != ids(step)[0]
    assert [event.name for event in attempt.events] == ["alarm length"]
    assert dict(step.attributes or {})["reward"] == 0.5

    # And the call is told by the GenAI conventions, without a text.
    assert dict(good.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openrouter",
        "gen_ai.request.model": "some/model",
        "gen_ai.response.model": "model-2026",
        "gen_ai.response.id": "gen-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "cgrpo.role": "generate",
        "cgrpo.call": call_id,
        "cgrpo.cost_usd": 0.001,
    }
    assert (good.end_time or 0) - (good.start_time or 0) == pytest.approx(5e8)
    assert dict(bad.attributes or {})["error.type"] == "timeout"
    assert not bad.status.is_ok
    everything = "".join(span.to_json() for span in (step, attempt, good, bad, task))
    assert SECRET not in everything


def test_an_endpoint_without_the_exporter_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_exporter() == ""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    assert missing_exporter() == ""

    # As in an environment that lacks the package: Python's own way to say so.
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    assert "pip install opentelemetry-sdk" in missing_exporter()


@pytest.mark.parametrize("endpoint", ["", " ", None])
def test_without_an_endpoint_there_are_no_spans(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None
) -> None:
    if endpoint is None:
        monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    else:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)

    assert not tracing_wanted()


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """An OTLP collector on loopback, and (service, span) of what it gets."""
    got: list[Any] = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request.ParseFromString(body)
            for one in request.resource_spans:
                names = {a.key: a.value.string_value for a in one.resource.attributes}
                rows = [span for scope in one.scope_spans for span in scope.spans]
                got.extend((names["service.name"], span) for span in rows)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Takes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


def test_a_real_run_sends_whole_traces_without_a_secret_or_a_text(workplace: Path) -> None:
    with collector() as (endpoint, got), running(Settings(latency_ms=5)) as standin:
        words = arguments(workplace, "--steps=1", "--set=group_size=2", judge=False, prompts=2)
        environment = {**pointed_at(standin), "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        ended = orchestrator(*words, cwd=workplace, **environment)

    assert ended.code == 0, ended.err
    services = {service for service, _ in got}
    assert services == {"concept-grpo-orchestrator", "concept-grpo-worker"}
    by_id = {span.span_id: span for _, span in got}
    calls = [span for _, span in got if span.name.startswith("chat ")]
    steps = [span for _, span in got if span.name == "step"]
    assert len(steps) == 1
    trained = [span for span in calls if span.trace_id == steps[0].trace_id]
    assert len(trained) >= 4
    for call in trained:
        task = by_id[call.parent_span_id]
        assert task.name == "generate"
        assert task.parent_span_id == steps[0].span_id
    rows = json_lines((only_run(workplace) / "rollouts.jsonl").read_text("utf-8"))
    texts = [row["completion"]["text"] for row in rows] + [row["prompt"] for row in rows]
    sent = "".join(str(span) for _, span in got)
    assert [text for text in [*texts, DEFAULT_KEY] if text in sent] == []
