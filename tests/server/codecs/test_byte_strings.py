"""The binary form of BYTES: both ways, equal to Triton's, and with lengths that lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from rapide.server.codecs import byte_strings
from rapide.server.errors import InvalidRequest


def of(*items: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


@given(st.lists(st.binary(max_size=20)))
def test_any_elements_come_back(items: list[bytes]) -> None:
    encoded = byte_strings.encode(of(*items))
    assert byte_strings.decode(encoded, len(items), "input 'x'").tolist() == items
    assert byte_strings.decode(memoryview(encoded), len(items), "input 'x'").tolist() == items


@given(st.integers(1, 9), st.data())
def test_elements_of_one_length_come_back(length: int, data: st.DataObject) -> None:
    """The vectorised way; bytes of 0 at the end must survive it."""
    items = data.draw(st.lists(st.binary(min_size=length, max_size=length) | st.just(bytes(length)), max_size=9))
    assert byte_strings.decode(byte_strings.encode(of(*items)), len(items), "input 'x'").tolist() == items


@given(st.lists(st.binary(max_size=20), min_size=1))
def test_the_form_is_tritons(items: list[bytes]) -> None:
    encoded = byte_strings.encode(of(*items))
    assert encoded == serialize_byte_tensor(of(*items)).item()
    assert deserialize_bytes_tensor(encoded).tolist() == items


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        (b"", 1, "input 'x' has 0 bytes; 1 BYTES elements need at least 4"),
        (b"\x00\x00\x00", 1, "input 'x' has 3 bytes; 1 BYTES elements need at least 4"),
        (b"", 2**40, f"input 'x' has 0 bytes; {2**40} BYTES elements need at least {2**42}"),
        (b"\x05\x00\x00\x00abcd", 1, "input 'x': element 0 claims 5 bytes, but only 4 are left"),
        (b"\xff\xff\xff\xffabcd", 1, "input 'x': element 0 claims 4294967295 bytes, but only 4 are left"),
        (b"\x01\x00\x00\x00abcd", 1, "input 'x' has 3 bytes left over after its 1 BYTES elements"),
        (b"\x00\x00\x00\x00", 0, "input 'x' has 4 bytes left over after its 0 BYTES elements"),
        (b"\x01\x00\x00\x00a", 0, "input 'x' has 5 bytes left over after its 0 BYTES elements"),
        (b"\x04\x00\x00\x00\x02\x00\x00\x00", 2, "input 'x' ends after 1 of 2 BYTES elements"),
        (
            b"\x01\x00\x00\x00a\x02\x00\x00\x00b",
            2,
            "input 'x': element 1 claims 2 bytes, but only 1 are left",
        ),
    ],
)
def test_lying_lengths_are_refused(data: bytes, count: int, message: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        byte_strings.decode(data, count, "input 'x'")
    assert error.value.message == message


@given(st.binary(max_size=64), st.integers(0, 16))
def test_any_bytes_are_read_or_refused(data: bytes, count: int) -> None:
    try:
        array = byte_strings.decode(data, count, "input 'x'")
    except InvalidRequest:
        return
    assert byte_strings.encode(array) == data
