"""OpenTelemetry spans of requests, sent to an OTLP collector. Needs the extra ``rapide[otel]``.

A request becomes a server span with two children, ``queue`` and ``compute`` (placed as in ``triton_trace``). The
event loop only decides whether the request is sampled and hands it over: spans are made and sent by a thread, and
dropped and counted if the collector is too slow. The caller's ``traceparent`` decides about sampling; without one,
a share of the requests is traced.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rapide.server.errors import SettingsError
from rapide.server.telemetry import trace_context
from rapide.server.telemetry.backlog import Backlog
from rapide.server.telemetry.recorder import Finished
from rapide.server.telemetry.trace_context import TraceContext

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_CLOSE_TIMEOUT_S: Final = 5.0
_BACKLOG: Final = 4096
_OUR_FAULT: Final = frozenset(
    {"internal", "unavailable", "deadline_exceeded", "broken_version", "repository_error"}
)
"""Codes that make a span an error: OpenTelemetry does not count a caller's mistakes against the server."""


class SpanSender:
    """Samples finished requests and sends their spans. An observer for recorders."""

    def __init__(
        self,
        endpoint: str,
        share: float,
        version: str,
        on_drop: Callable[[], None],
        wall_offset_s: Callable[[], float],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """``share``: how many requests without ``traceparent`` are traced, 0 to 1.

        Raises SettingsError if the extra is not installed or the endpoint cannot be one.
        """
        self._share = share
        self._draw = draw
        self._on_drop = on_drop
        self._wall_offset_s = wall_offset_s
        self._new_id = trace_context.id_source()
        self._export = _Export(endpoint, version)
        self._backlog: Backlog[tuple[Finished, TraceContext]] = Backlog(
            "rapide-spans", self._send, on_drop, _BACKLOG
        )

    def start(self) -> None:
        self._backlog.start()

    def close(self) -> None:
        """Sends what waits, for at most five seconds."""
        self._backlog.close(_CLOSE_TIMEOUT_S)
        self._export.close()

    def observe(self, entry: Finished) -> None:
        """Hands a finished request over if it is sampled."""
        header = entry.context.traceparent
        trace = trace_context.parse(header) if header else None
        if trace is None:
            if self._draw() >= self._share:
                return
            trace = TraceContext(self._new_id(16), "", sampled=True)
        if trace.sampled:
            self._backlog.offer((entry, trace))

    def _send(self, entries: list[tuple[Finished, TraceContext]]) -> None:
        offset_s = self._wall_offset_s()
        spans = [
            span for entry, trace in entries for span in self._export.spans(entry, trace, offset_s, self._new_id)
        ]
        if not self._export.send(spans):
            for _ in entries:
                self._on_drop()


class _Export:
    """The part that needs OpenTelemetry, imported when an endpoint is set."""

    def __init__(self, endpoint: str, version: str) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise SettingsError(
                f"otlp_endpoint is {endpoint!r}; it must begin with http:// or https://.",
                hint="A collector on this machine is usually http://localhost:4317.",
            )
        try:
            from opentelemetry import trace  # noqa: PLC0415 - an extra
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk import trace as sdk  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError(
                "otlp_endpoint is set but OpenTelemetry is not installed.", hint="Run: pip install 'rapide[otel]'"
            ) from error
        self._trace = trace
        self._span_class = sdk.ReadableSpan
        self._success = SpanExportResult.SUCCESS
        self._scope = InstrumentationScope("rapide", version)
        self._exporter = OTLPSpanExporter(endpoint=endpoint)
        defaults = {"service.name": "rapide"} if "OTEL_SERVICE_NAME" not in os.environ else {}
        self._resource = Resource.create(
            {**defaults, "service.version": version, "service.instance.id": f"{os.uname().nodename}:{os.getpid()}"}
        )

    def send(self, spans: Sequence[ReadableSpan]) -> bool:
        """Whether the collector took them. Blocking."""
        return self._exporter.export(spans) is self._success

    def close(self) -> None:
        self._exporter.shutdown()

    def spans(
        self, entry: Finished, trace: TraceContext, offset_s: float, new_id: Callable[[int], str]
    ) -> list[ReadableSpan]:
        """The request's span and, if it ran, one for its wait and one for its run."""
        context = entry.context
        start_s = context.received_s + offset_s
        parent = self._context(trace.trace_id, trace.parent_id, is_remote=True) if trace.parent_id else None
        own = self._context(trace.trace_id, new_id(8), is_remote=False)
        kind = self._trace.SpanKind.SERVER
        name = f"infer {entry.model}".rstrip()
        found = [self._span(name, own, parent, kind, start_s, entry.duration_s, _attributes(entry), entry.code)]
        if context.compute_s:
            kind = self._trace.SpanKind.INTERNAL
            run_s = start_s + entry.duration_s - context.compute_s
            for child, begin_s, took_s in (
                ("queue", run_s - context.queue_s, context.queue_s),
                ("compute", run_s, context.compute_s),
            ):
                child_context = self._context(trace.trace_id, new_id(8), is_remote=False)
                found.append(self._span(child, child_context, own, kind, begin_s, took_s, {}, "ok"))
        return found

    def _context(self, trace_id: str, span_id: str, *, is_remote: bool) -> Any:
        flags = self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED)
        return self._trace.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, flags)

    def _span(
        self,
        name: str,
        context: Any,
        parent: Any,
        kind: Any,
        start_s: float,
        took_s: float,
        attributes: Any,
        code: str,
    ) -> ReadableSpan:
        status = self._trace.Status(
            self._trace.StatusCode.ERROR if code in _OUR_FAULT else self._trace.StatusCode.UNSET,
            code if code in _OUR_FAULT else None,
        )
        return self._span_class(
            name=name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            instrumentation_scope=self._scope,
            status=status,
            start_time=round(start_s * 1e9),
            end_time=round((start_s + took_s) * 1e9),
        )


def _attributes(entry: Finished) -> dict[str, str | int]:
    context = entry.context
    answered = context.answered_by
    return {
        "rapide.model": entry.model,
        "rapide.version": entry.version,
        "rapide.label": answered.label if answered else "",
        "rapide.digest": answered.digest if answered else "",
        "rapide.code": entry.code,
        "rapide.rows": entry.rows,
        "rapide.request_id": context.request_id,
        "rapide.encoding": context.encoding,
        "network.protocol.name": context.protocol,
    }
