"""Binary tensors: every datatype both ways, views, alignment, and byte counts that do not add up."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.codecs import tensor_bytes
from rapide.server.errors import InvalidRequest
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES
from tests.server.codecs.strategies import ALL, arrays, assert_same_array, few


@pytest.mark.parametrize("datatype", ALL)
@few
@given(data=st.data())
def test_every_array_comes_back(datatype: DataType, data: st.DataObject) -> None:
    array = data.draw(arrays(datatype))
    raw = bytes(tensor_bytes.to_bytes(array, datatype))
    assert_same_array(tensor_bytes.to_array(raw, datatype, array.shape, "input 'x'"), array)
    assert_same_array(tensor_bytes.to_array(memoryview(raw), datatype, array.shape, "input 'x'"), array)


def test_an_aligned_array_is_a_view_of_what_was_received() -> None:
    received = bytearray(np.arange(6, dtype="<f4").tobytes())
    array = tensor_bytes.to_array(memoryview(received), DataType.FP32, (2, 3), "input 'x'")
    received[0:4] = np.float32(7).tobytes()
    assert array[0, 0] == 7


@pytest.mark.parametrize("offset", range(8))
def test_an_unaligned_array_is_copied_into_place(offset: int) -> None:
    values = np.arange(5, dtype="<f8")
    received = memoryview(bytes(offset) + values.tobytes())
    array = tensor_bytes.to_array(received[offset:], DataType.FP64, (5,), "input 'x'")
    assert array.flags.aligned
    assert_same_array(array, values)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.arange(10, dtype=np.int64)[::2],
        np.arange(6, dtype=np.float32).reshape(3, 2)[:, 1],
    ],
    ids=["transposed", "strided", "column"],
)
def test_what_is_not_contiguous_is_written_row_major(
    array: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> None:
    assert bytes(tensor_bytes.to_bytes(array, DataType.FP32)) == array.tobytes()


def test_bf16_is_the_upper_half_of_fp32() -> None:
    values = np.array([1.5, -2.0, 0.0, np.inf], dtype="<f4")  # exact in BF16
    upper_halves = values.view("<u2")[1::2].tobytes()
    array = tensor_bytes.to_array(upper_halves, DataType.BF16, (4,), "input 'x'")
    assert array.dtype == ml_dtypes.bfloat16
    assert array.astype(np.float32).tolist() == values.tolist()
    assert bytes(tensor_bytes.to_bytes(array, DataType.BF16)) == upper_halves


@pytest.mark.parametrize("datatype", [d for d in ALL if d is not DataType.BYTES])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3), (2, 0, 3)])
@pytest.mark.parametrize("excess", [-1, 1])
def test_a_wrong_number_of_bytes_is_named(datatype: DataType, shape: tuple[int, ...], excess: int) -> None:
    needed = math.prod(shape) * NUMPY_DTYPES[datatype].itemsize
    if needed + excess < 0:
        return
    with pytest.raises(InvalidRequest) as error:
        tensor_bytes.to_array(bytes(needed + excess), datatype, shape, "input 'x'")
    assert error.value.message == (
        f"input 'x' has {needed + excess} bytes; shape {list(shape)} of {datatype} needs {needed}"
    )


def test_a_bool_byte_is_0_or_1() -> None:
    with pytest.raises(InvalidRequest, match="input 'x': BOOL element 2 is the byte 7; expected 0 or 1"):
        tensor_bytes.to_array(b"\x00\x01\x07\x09", DataType.BOOL, (2, 2), "input 'x'")
