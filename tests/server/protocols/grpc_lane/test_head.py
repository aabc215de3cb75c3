"""What a call's header fields mean, and which lists are malformed."""

from __future__ import annotations

import pytest

from rapide.server.protocols.grpc_lane.head import interpret_head, parse_timeout
from rapide.server.protocols.http2.faults import StreamFault

PSEUDO = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.B/C"), (b":authority", b"h")]
GRPC = (b"content-type", b"application/grpc")


def test_a_usual_call() -> None:
    head = interpret_head(
        [*PSEUDO, GRPC, (b"te", b"trailers"), (b"grpc-timeout", b"250m"), (b"x-request-id", b"abc"),
         (b"grpc-accept-encoding", b"identity, gzip"), (b"k", b"1"), (b"k", b"2")]
    )  # fmt: skip
    assert head.path == "/a.B/C"
    assert head.timeout_s == 0.25
    assert head.encoding == b"identity"
    assert head.accepts == {b"identity", b"gzip"}
    assert head.metadata["x-request-id"] == "abc"
    assert head.metadata["k"] == "1,2"
    assert head.refusal == 0


@pytest.mark.parametrize(
    ("text", "seconds", "bad"),
    [
        (None, None, ""),
        (b"1H", 3600.0, ""),
        (b"2M", 120.0, ""),
        (b"3S", 3.0, ""),
        (b"40m", 0.04, ""),
        (b"50u", 5e-5, ""),
        (b"99999999n", 0.099999999, ""),
        (b"0m", 0.0, ""),
        (b"", None, "(empty)"),
        (b"5", None, "5"),
        (b"m", None, "m"),
        (b"-5S", None, "-5S"),
        (b"123456789S", None, "123456789S"),
        (b"1.5S", None, "1.5S"),
        (b"1x", None, "1x"),
    ],
)
def test_timeouts(text: bytes | None, seconds: float | None, bad: str) -> None:
    got, malformed = parse_timeout(text)
    assert got == pytest.approx(seconds)
    assert malformed == bad


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([*PSEUDO, GRPC], 0),
        ([*PSEUDO, (b"content-type", b"application/grpc+proto")], 0),
        ([*PSEUDO, (b"content-type", b"application/grpc;x=y")], 0),
        ([*PSEUDO, (b"content-type", b"application/grpc-web")], 415),
        ([*PSEUDO, (b"content-type", b"application/json")], 415),
        (PSEUDO, 415),
        ([(b":method", b"GET"), *PSEUDO[1:], GRPC], 405),
    ],
)
def test_what_is_no_grpc_gets_an_http_status(fields: list[tuple[bytes, bytes]], status: int) -> None:
    assert interpret_head(fields).refusal == status


@pytest.mark.parametrize(
    "fields",
    [
        PSEUDO[1:],
        PSEUDO[:2],
        [*PSEUDO[:2], (b":path", b"")],
        [*PSEUDO, (b":path", b"/again")],
        [*PSEUDO, (b":status", b"200")],
        [GRPC, *PSEUDO],
        [*PSEUDO, (b"Upper", b"x")],
        [*PSEUDO, (b"", b"x")],
        [*PSEUDO, (b"a b", b"x")],
        [*PSEUDO, (b"connection", b"close")],
        [*PSEUDO, (b"transfer-encoding", b"chunked")],
        [*PSEUDO, (b"te", b"gzip")],
        [*PSEUDO, (b"x", b"a\r\nb")],
        [*PSEUDO, (b"x", b"a\0b")],
    ],
)
def test_malformed_lists_reset_the_stream(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(StreamFault):
        interpret_head(fields)
