"""Generated tensors and requests of every datatype, for the property tests."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array, InferRequest, InputTensor, RequestedOutput

WITHOUT_TEXT_FORM = frozenset({DataType.FP16, DataType.BF16})
ALL = list(DataType)
WITH_TEXT_FORM = [datatype for datatype in ALL if datatype not in WITHOUT_TEXT_FORM]

few = settings(max_examples=25)
"""For tests that run once for each of the 14 datatypes."""

shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
names = st.text(min_size=1, max_size=12).filter(lambda name: _is_utf8(name))
parameters = st.dictionaries(
    names.filter(lambda name: not name.startswith(("binary", "shared", "classification"))),
    st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | names,
    max_size=3,
)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def elements_of(datatype: DataType, *, text_only: bool = False) -> st.SearchStrategy[Any]:
    """Python values that fit ``datatype`` exactly; ``text_only`` leaves out what JSON cannot carry."""
    if datatype is DataType.BYTES:
        return names.map(str.encode) if text_only else st.binary(max_size=8)
    if datatype is DataType.BOOL:
        return st.booleans()
    if datatype.is_float:
        width = {DataType.FP16: 16, DataType.BF16: 16, DataType.FP32: 32, DataType.FP64: 64}[datatype]
        values = st.floats(width=width, allow_nan=not text_only, allow_infinity=not text_only)
        return values.map(lambda value: float(ml_dtypes.bfloat16(value))) if datatype is DataType.BF16 else values
    bounds = np.iinfo(NUMPY_DTYPES[datatype])
    return st.integers(int(bounds.min), int(bounds.max))


@st.composite
def arrays(draw: st.DrawFn, datatype: DataType, *, text_only: bool = False) -> Array:
    """An array of ``datatype`` and a small shape, scalars and sizes of 0 included."""
    shape = draw(shapes)
    count = math.prod(shape)
    values = draw(st.lists(elements_of(datatype, text_only=text_only), min_size=count, max_size=count))
    array = np.empty(count, dtype=NUMPY_DTYPES[datatype])
    array[:] = values
    return array.reshape(shape)


@st.composite
def requests(draw: st.DrawFn, datatypes: list[DataType], *, text_only: bool = False) -> InferRequest:
    inputs = []
    for name in draw(st.lists(names, max_size=3, unique=True)):
        datatype = draw(st.sampled_from(datatypes))
        inputs.append(InputTensor(name, datatype, draw(arrays(datatype, text_only=text_only))))
    outputs = [RequestedOutput(name, draw(parameters)) for name in draw(st.lists(names, max_size=2, unique=True))]
    return InferRequest(
        draw(names), draw(names), draw(names), inputs=inputs, outputs=outputs, parameters=draw(parameters)
    )


def assert_same_array(got: Array, wanted: Array) -> None:
    """Equal in dtype, shape and every element, NaN included."""
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    if got.dtype == object:
        assert got.tolist() == wanted.tolist()
    elif wanted.dtype.kind == "f":
        np.testing.assert_array_equal(got, wanted)
    else:
        assert got.tobytes() == wanted.tobytes()


def assert_same_request(got: InferRequest, wanted: InferRequest) -> None:
    assert (got.model_name, got.model_version, got.id) == (wanted.model_name, wanted.model_version, wanted.id)
    assert dict(got.parameters) == dict(wanted.parameters)
    assert [(o.name, dict(o.parameters)) for o in got.outputs] == [
        (o.name, dict(o.parameters)) for o in wanted.outputs
    ]
    assert [(i.name, i.datatype) for i in got.inputs] == [(i.name, i.datatype) for i in wanted.inputs]
    for mine, theirs in zip(got.inputs, wanted.inputs, strict=True):
        assert_same_array(mine.array, theirs.array)
