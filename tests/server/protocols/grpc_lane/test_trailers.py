"""Statuses on the wire."""

from __future__ import annotations

import urllib.parse

import hpack
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.protocols.grpc_lane.trailers import OK, percent_encode, trailers, trailers_only


def fields(block: bytes) -> dict[bytes, bytes]:
    return {bytes(name): bytes(value) for name, value in hpack.Decoder().decode(block, raw=True)}


def test_success_is_one_constant() -> None:
    assert trailers(0) is OK
    assert fields(OK) == {b"grpc-status": b"0"}


def test_an_error_carries_code_and_text() -> None:
    assert fields(trailers(5, "no such model")) == {b"grpc-status": b"5", b"grpc-message": b"no such model"}


def test_a_call_without_messages_ends_in_one_block() -> None:
    block = fields(trailers_only(3, "100 % wrong: ü\n", ((b"x-request-id", b"7"),)))
    assert block == {
        b":status": b"200",
        b"content-type": b"application/grpc",
        b"x-request-id": b"7",
        b"grpc-status": b"3",
        b"grpc-message": b"100 %25 wrong: %C3%BC%0A",
    }


@given(text=st.text(max_size=200))
def test_any_text_survives(text: str) -> None:
    encoded = percent_encode(text)
    assert all(0x20 <= octet < 0x7F for octet in encoded)
    assert urllib.parse.unquote(encoded.decode()) == text.encode("utf-8", "replace").decode()
