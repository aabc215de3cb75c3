"""Spans reach a real OTLP collector: a gRPC server made here from OpenTelemetry's own protocol definition."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from rapide.server.errors import SettingsError
from rapide.server.telemetry.recorder import Finished
from rapide.server.telemetry.spans import SpanSender
from tests.server.telemetry.records import WALL_OFFSET_S, context

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector(rpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.requests: queue.Queue[pb.ExportTraceServiceRequest] = queue.Queue()

    def Export(self, request: pb.ExportTraceServiceRequest, context: Any) -> pb.ExportTraceServiceResponse:
        self.requests.put(request)
        return pb.ExportTraceServiceResponse()

    def spans(self) -> list[Span]:
        """All spans that have arrived."""
        found: list[Span] = []
        while not self.requests.empty():
            for resource in self.requests.get().resource_spans:
                for scope in resource.scope_spans:
                    found += scope.spans
        return found


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    service = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    rpc.add_TraceServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


class Case:
    def __init__(self, endpoint: str, share: float = 1.0, draws: tuple[float, ...] = ()) -> None:
        self.dropped = 0
        left = iter(draws)
        self.sender = SpanSender(
            endpoint, share, "1.2.3", self.drop, lambda: WALL_OFFSET_S, lambda: next(left, 0.5)
        )
        self.sender.start()

    def drop(self) -> None:
        self.dropped += 1

    def observe(self, traceparent: str = "", code: str = "ok") -> None:
        asked = context(received_s=10.0, traceparent=traceparent)
        self.sender.observe(Finished(asked, "cars", "2", code, 0.005, 3))


def attributes(span: Span) -> dict[str, str | int]:
    return {
        item.key: item.value.int_value if item.value.HasField("int_value") else item.value.string_value
        for item in span.attributes
    }


def test_a_request_becomes_a_span_with_its_wait_and_its_run(collector: tuple[Collector, str]) -> None:
    service, endpoint = collector
    case = Case(endpoint)
    case.observe(f"00-{TRACE}-{PARENT}-01")
    case.sender.close()
    server, wait, run = service.spans()
    start = round((WALL_OFFSET_S + 10) * 1e9)
    assert (server.name, wait.name, run.name) == ("infer cars", "queue", "compute")
    assert {span.trace_id.hex() for span in (server, wait, run)} == {TRACE}
    assert server.parent_span_id.hex() == PARENT
    assert wait.parent_span_id == run.parent_span_id == server.span_id
    assert server.kind == Span.SPAN_KIND_SERVER
    times: list[Any] = [
        (span.start_time_unix_nano - start, span.end_time_unix_nano - start) for span in (server, wait, run)
    ]
    assert times == [
        (0, pytest.approx(5e6, abs=1e3)),
        (pytest.approx(2e6, abs=1e3), pytest.approx(3e6, abs=1e3)),
        (pytest.approx(3e6, abs=1e3), pytest.approx(5e6, abs=1e3)),
    ]
    assert attributes(server) == {
        "rapide.model": "cars",
        "rapide.version": "2",
        "rapide.label": "stable",
        "rapide.digest": "sha256:ab",
        "rapide.code": "ok",
        "rapide.rows": 3,
        "rapide.request_id": "id-1",
        "rapide.encoding": "protobuf-raw",
        "network.protocol.name": "grpc",
    }
    assert case.dropped == 0


def test_the_resource_names_the_service(collector: tuple[Collector, str], monkeypatch: pytest.MonkeyPatch) -> None:
    service, endpoint = collector
    for name in ("", "prices"):
        if name:
            monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        case = Case(endpoint)
        case.observe()
        case.sender.close()
        (resource,) = service.requests.get().resource_spans
        found = {item.key: item.value.string_value for item in resource.resource.attributes}
        assert found["service.name"] == (name or "rapide")
        assert found["service.version"] == "1.2.3"


@pytest.mark.parametrize(
    ("traceparent", "share", "draw", "expected"),
    [
        (f"00-{TRACE}-{PARENT}-01", 0.0, 0.9, 1),
        (f"00-{TRACE}-{PARENT}-00", 1.0, 0.0, 0),
        ("", 1.0, 0.999, 1),
        ("", 0.0, 0.0, 0),
        ("", 0.25, 0.24, 1),
        ("", 0.25, 0.25, 0),
        ("nonsense", 0.25, 0.24, 1),
        ("nonsense", 0.25, 0.25, 0),
    ],
)
def test_the_caller_decides_else_the_share(
    collector: tuple[Collector, str], traceparent: str, share: float, draw: float, expected: int
) -> None:
    service, endpoint = collector
    case = Case(endpoint, share, (draw,))
    case.observe(traceparent)
    case.sender.close()
    assert len([span for span in service.spans() if span.kind == Span.SPAN_KIND_SERVER]) == expected


def test_a_trace_that_starts_here_has_new_ids(collector: tuple[Collector, str]) -> None:
    service, endpoint = collector
    case = Case(endpoint)
    case.observe()
    case.observe()
    case.sender.close()
    roots = [span for span in service.spans() if span.kind == Span.SPAN_KIND_SERVER]
    assert [span.parent_span_id for span in roots] == [b"", b""]
    assert len({span.trace_id for span in roots}) == 2


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ok", Status.STATUS_CODE_UNSET),
        ("invalid_request", Status.STATUS_CODE_UNSET),
        ("internal", Status.STATUS_CODE_ERROR),
    ],
)
def test_only_our_faults_are_errors(collector: tuple[Collector, str], code: str, status: int) -> None:
    service, endpoint = collector
    case = Case(endpoint)
    case.observe(code=code)
    case.sender.close()
    assert service.spans()[0].status.code == status


def test_a_collector_that_refuses_costs_spans_only(caplog: pytest.LogCaptureFixture) -> None:
    """It answers every call with UNIMPLEMENTED, which is not worth trying again."""
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    case = Case(f"http://127.0.0.1:{port}")
    case.observe()
    case.sender.close()
    server.stop(None).wait()
    assert case.dropped == 1


@pytest.mark.parametrize("endpoint", ["localhost:4317", "ftp://x", "nonsense"])
def test_an_endpoint_that_cannot_be_one_is_named(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="must begin with http"):
        Case(endpoint)


def test_without_the_extra_the_error_says_what_to_install() -> None:
    program = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "from rapide.server.telemetry.telemetry import Telemetry, TelemetryOptions\n"
        "from rapide.server.errors import SettingsError\n"
        "Telemetry().start()\n"
        "try: Telemetry(TelemetryOptions(otlp_endpoint='http://localhost:4317')).start()\n"
        "except SettingsError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == (
        "otlp_endpoint is set but OpenTelemetry is not installed. Run: pip install 'rapide[otel]'\n"
    )
