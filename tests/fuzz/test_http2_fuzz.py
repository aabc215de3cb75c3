"""The HTTP/2 connection's fuzz target: a short run, and that its accounts would notice."""

from __future__ import annotations

from random import Random

import pytest

from rapide.server.protocols.http2 import connection
from rapide.server.protocols.http2.connection import Http2Connection
from tests.fuzz import campaign
from tests.fuzz.campaign import fuzz
from tests.fuzz.http2_fuzz import TARGETS, attempt
from tests.fuzz.http2_script import Act, Performed, act, steps

TARGET = TARGETS[0]


def test_known_inputs_hold() -> None:
    for data in TARGET.known():
        attempt(data)


def test_new_inputs_hold() -> None:
    assert fuzz(TARGET, Random(20261123), runs=1000) == 1000


def test_a_script_is_wire_and_acts() -> None:
    assert list(steps(b"wire" + act(Act.RESPOND, 3, 7) + b"more")) == [b"wire" + act(Act.RESPOND, 3, 7) + b"more"]
    frame = bytes(9)
    assert list(steps(frame + act(Act.RESPOND, 3, 7) + frame)) == [frame, Performed(Act.RESPOND, 3, 7), frame]


@pytest.mark.parametrize("fault", ["credit", "order", "content"])
def test_it_would_notice(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults planted into the connection: a window that is never given back, frames in disorder, a lost byte."""
    monkeypatch.setattr(campaign, "SHRINK_S", 0.0)
    if fault == "credit":
        monkeypatch.setattr(Http2Connection, "_credit_connection", lambda self: None)
    elif fault == "order":
        flush = Http2Connection._flush
        monkeypatch.setattr(
            Http2Connection, "_flush", lambda self, stream: flush(self, stream) and flush(self, stream)
        )
    else:
        monkeypatch.setattr(connection, "bytes", lambda piece: b"?" * len(piece), raising=False)
    with pytest.raises(AssertionError, match="target http2 on"):
        fuzz(TARGET, Random(1), runs=2000)
