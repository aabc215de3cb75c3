"""Details of failures, as Google's own classes read them."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2, status_pb2

from rapide.server.errors import InvalidRequest, QueueFull
from rapide.server.protocols.grpc_details import DOMAIN, MAX_BYTES, details
from rapide.server.protocols.grpc_door import Failure


def read(octets: bytes) -> status_pb2.Status:
    return status_pb2.Status.FromString(octets)


def test_a_failure_names_its_reason() -> None:
    failure = Failure.of(InvalidRequest("input 'x': größer", hint="Send less."))
    status = read(failure.details)
    assert (status.code, status.message) == (3, "input 'x': größer. Send less.")
    (only,) = status.details
    info = error_details_pb2.ErrorInfo()
    assert only.Unpack(info)
    assert (info.reason, info.domain) == ("INVALID_REQUEST", DOMAIN)


@pytest.mark.parametrize(("wait_s", "told_s"), [(0.1, 1), (7.2, 7), (300.0, 300)])
def test_where_waiting_helps_it_says_how_long(wait_s: float, told_s: int) -> None:
    failure = Failure.of(QueueFull("the queue is full", retry_after_s=wait_s))
    _, second = read(failure.details).details
    retry = error_details_pb2.RetryInfo()
    assert second.Unpack(retry)
    assert retry.retry_delay.seconds == told_s
    assert failure.trailers == (("grpc-retry-pushback-ms", str(told_s * 1000)),)


def test_what_a_peer_could_not_take_is_left_out() -> None:
    assert details(3, "x" * MAX_BYTES, "invalid_request", None) == b""
    assert len(details(3, "x" * (MAX_BYTES - 200), "invalid_request", 5)) <= MAX_BYTES
