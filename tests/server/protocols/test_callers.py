"""Who calls and until when: headers and metadata read into a context, and what is told back."""

from __future__ import annotations

import math

import pytest

from rapide.server.context import AnsweredBy, CallContext
from rapide.server.errors import InvalidRequest
from rapide.server.protocols.callers import answer_headers, read_headers, read_timeout, request_id


def context() -> CallContext:
    return CallContext("http", "id-1", 100.0)


def test_what_routing_and_tracing_read() -> None:
    call = context()
    read_headers(
        call,
        {
            "rapide-user-key": "customer 7",
            "rapide-label": "canary",
            "rapide-version": "3",
            "traceparent": "00-1-2-01",
            "user-agent": "curl",
        },
    )

    assert (call.user_key, call.label, call.pinned_version, call.traceparent) == (
        "customer 7",
        "canary",
        "3",
        "00-1-2-01",
    )


def test_nothing_is_assumed_where_nothing_is_said() -> None:
    call = context()
    read_headers(call, {})
    read_timeout(call, {})

    assert (call.user_key, call.label, call.pinned_version, call.traceparent) == ("", "", "", "")
    assert call.deadline_s == math.inf


@pytest.mark.parametrize(("text", "deadline_s"), [("1500", 101.5), ("0.5", 100.0005), ("86400000", 86500.0)])
def test_a_deadline_counts_from_the_calls_arrival(text: str, deadline_s: float) -> None:
    call = context()
    read_timeout(call, {"rapide-timeout-ms": text})

    assert call.deadline_s == pytest.approx(deadline_s)


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf", "1e400", "86400001"])
def test_deadlines_that_cannot_be(text: str) -> None:
    with pytest.raises(InvalidRequest, match="expected milliseconds above 0, at most 86400000"):
        read_timeout(context(), {"rapide-timeout-ms": text})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("mine", True),
        ("x" * 128, True),
        ("", False),
        ("x" * 129, False),
        ("a b", False),
        ("ä", False),
        ("a\n", False),
    ],
)
def test_request_ids_that_fit_a_log_line_are_kept(given: str, kept: bool) -> None:
    assert request_id(given, lambda: "made") == (given if kept else "made")


def test_what_is_told_back() -> None:
    call = context()
    assert answer_headers(call) == (("x-request-id", "id-1"),)

    call.answered_by = AnsweredBy("m", "2", "stable", "sha256:0")

    assert answer_headers(call) == (
        ("rapide-model", "m"),
        ("rapide-model-version", "2"),
        ("rapide-model-label", "stable"),
        ("rapide-model-digest", "sha256:0"),
        ("x-request-id", "id-1"),
    )
