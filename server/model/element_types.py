"""ONNX's element types, by their number in TensorProto.DataType: how many bits an element takes."""

from __future__ import annotations

from collections.abc import Mapping

from rapide.proto import onnx_outline_pb2 as outline

STRING = 8
BITS: Mapping[int, int] = {
    1: 32,  # FLOAT
    2: 8,
    3: 8,
    4: 16,
    5: 16,
    6: 32,
    7: 64,  # INT64
    9: 8,  # BOOL
    10: 16,  # FLOAT16
    11: 64,  # DOUBLE
    12: 32,
    13: 64,
    14: 64,  # COMPLEX64
    15: 128,
    16: 16,  # BFLOAT16
    17: 8,  # FLOAT8, four kinds
    18: 8,
    19: 8,
    20: 8,
    21: 4,  # UINT4
    22: 4,
    23: 4,  # FLOAT4E2M1
    24: 8,
    25: 2,  # UINT2
    26: 2,
}
"""All but STRING."""


def stored_values(tensor: outline.Tensor) -> int:
    """The entries in whichever typed field is filled; a type has one that fits it, and the others are empty."""
    return (
        len(tensor.float_data)
        + len(tensor.int32_data)
        + len(tensor.int64_data)
        + len(tensor.double_data)
        + len(tensor.uint64_data)
    )
