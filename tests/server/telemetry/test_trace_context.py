from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.telemetry.trace_context import TraceContext, id_source, make, parse

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-ff", True),
        (f"00-{TRACE}-{PARENT}-02", False),
        (f"01-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-later", True),
        (f"01-{TRACE}-{PARENT}-01-", True),
    ],
)
def test_valid_headers(header: str, sampled: bool) -> None:
    assert parse(header) == TraceContext(TRACE, PARENT, sampled)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-001",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-01-more",
        f"01-{TRACE}-{PARENT}-01more",
        f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01",
        f"000-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT.upper()}-01",
        f"00-{TRACE}-{PARENT}-0A",
        f"00-{TRACE}-{PARENT}-0g",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00-{TRACE}-{PARENT}0-01",
        f"00_{TRACE}_{PARENT}_01",
        f" 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01 ",
        f"00-{TRACE}-{PARENT}-01\n",
        f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01",
        f"00-٤bf92f3577b34da6a3ce929d0e0e473-{PARENT}-01",
    ],
)
def test_headers_to_be_ignored(header: str) -> None:
    assert parse(header) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(header: str) -> None:
    parse(header)


@given(st.booleans())
def test_what_is_made_is_read(sampled: bool) -> None:
    new_id = id_source()
    trace_id, span_id = new_id(16), new_id(8)
    assert parse(make(trace_id, span_id, sampled=sampled)) == TraceContext(trace_id, span_id, sampled)


def test_ids_differ() -> None:
    new_id = id_source()
    assert len({new_id(8) for _ in range(1000)}) == 1000
