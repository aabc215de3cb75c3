"""Where JSON ends and binary begins: every way that the header and the sizes can be wrong."""

from __future__ import annotations

import pytest

from rapide.server.codecs.binary_part import BinaryPart, parse_header_length, split_body
from rapide.server.errors import InvalidRequest


def test_the_header_is_a_number_or_absent() -> None:
    assert parse_header_length(None) is None
    assert parse_header_length("0") == 0
    assert parse_header_length("123") == 123


@pytest.mark.parametrize("text", ["", " 1", "1 ", "+1", "-1", "1.0", "0x10", "1_000", "¹", "٣", "abc", "9" * 19])
def test_any_other_header_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_header_length(text)
    assert error.value.message == f"Inference-Header-Content-Length must be a number of bytes, got {text!r}"


@pytest.mark.parametrize("length", [0, 6, 10**17])
def test_the_json_part_is_within_the_body(length: int) -> None:
    with pytest.raises(InvalidRequest) as error:
        split_body(b"12345", length)
    assert error.value.message == (
        f"Inference-Header-Content-Length is {length}, but the body has 5 bytes; "
        "it must be the length of the JSON part"
    )


def test_the_body_is_split() -> None:
    text, binary = split_body(b"{}abc", 2)
    assert text == b"{}"
    assert binary.take(1, "x") == b"a"
    assert binary.take(0, "x") == b""
    assert binary.take(2, "x") == b"bc"
    binary.check_used_up()


def test_without_the_header_there_is_no_binary_part() -> None:
    text, binary = split_body(b"{}", None)
    assert text == b"{}"
    with pytest.raises(InvalidRequest) as error:
        binary.take(4, "input 'x'")
    assert error.value.message == (
        "input 'x' has binary_data_size 4, but 0 bytes are left after the JSON part and the inputs before it; "
        "check Inference-Header-Content-Length"
    )


def test_nothing_may_be_left_over() -> None:
    binary = BinaryPart(memoryview(b"abc"))
    binary.take(1, "x")
    with pytest.raises(InvalidRequest, match="2 bytes are left over after the JSON part and all binary inputs"):
        binary.check_used_up()
