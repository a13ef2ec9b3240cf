"""Ids of spans that are said beforehand; OpenTelemetry draws all others."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator


class SaidIds(RandomIdGenerator):
    """Random ids, but for the next span within ``said``."""

    def __init__(self) -> None:
        self._local = threading.local()

    @contextmanager
    def said(self, trace: int, span: int) -> Iterator[None]:
        """Spans that begin inside have these ids."""
        self._local.ids = trace, span
        try:
            yield
        finally:
            del self._local.ids

    def generate_trace_id(self) -> int:
        """The trace that was said, or a random one."""
        ids = getattr(self._local, "ids", None)
        return ids[0] if ids else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """The span that was said, or a random one."""
        ids = getattr(self._local, "ids", None)
        return ids[1] if ids else super().generate_span_id()
