"""What may be merged, what it weighs, and that joining keeps rows in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import Internal
from rapide.server.merging import Inputs, Joiner, PackedRows, check_rows, join, measure_of, packs
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import Array


def signature(*shapes: tuple[int, ...], batchable: bool = True, datatype: DataType = DataType.FP32) -> Signature:
    specs = tuple(TensorSpec(f"x{number}", datatype, shape) for number, shape in enumerate(shapes))
    return Signature(specs, (), batchable)


def zeros(*shapes: tuple[int, ...]) -> list[Array]:
    return [np.zeros(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize(
    ("specs", "arrays", "rows", "key", "size_bytes"),
    [
        (signature((-1, 3)), zeros((5, 3)), 5, (), 60),
        (signature((-1, 3), (-1,)), zeros((5, 3), (5,)), 5, (), 80),
        (signature((-1, 3)), zeros((0, 3)), 0, (), 0),
        (signature((-1, -1)), zeros((2, 7)), 2, ((7,),), 56),
        (signature((-1, -1)), zeros((2, 0)), 2, ((0,),), 0),
        (signature((-1, -1), (-1, 2)), zeros((2, 7), (2, 2)), 2, ((7,), (2,)), 72),
        (signature((-1, 3), batchable=False), zeros((5, 3)), 5, None, 60),
        (signature((3,), batchable=False), zeros((3,)), 1, None, 12),
        (signature((), batchable=False), zeros(()), 1, None, 4),
        (signature(batchable=False), [], 1, None, 0),
    ],
)
def test_measure(specs: Signature, arrays: list[Array], rows: int, key: object, size_bytes: int) -> None:
    assert measure_of(specs)(arrays) == (rows, key, size_bytes)


def test_text_is_weighed_by_its_bytes() -> None:
    text = np.array([[b"abc", b""], [b"x" * 1000, b"d"]], dtype=object)
    rows, key, size_bytes = measure_of(signature((-1, 2), datatype=DataType.BYTES))([text])
    assert (rows, key) == (2, ((2,),))
    assert size_bytes == 1004 + 4 * 41


def test_join_keeps_the_order_of_requests_and_inputs() -> None:
    first = [np.array([[1], [2]]), np.array([b"a", b"b"], dtype=object)]
    second = [np.array([[3]]), np.array([b"c"], dtype=object)]
    numbers, texts = join([first, second])
    assert numbers.tolist() == [[1], [2], [3]]
    assert texts.tolist() == [b"a", b"b", b"c"]
    assert numbers.flags.c_contiguous


@pytest.mark.parametrize("shape", [(2,), (4, 3), ()])
def test_an_output_that_lost_or_gained_rows_is_refused(shape: tuple[int, ...]) -> None:
    check_rows(zeros((3,), (3, 2)), 3)
    with pytest.raises(Internal, match="3 rows went in together"):
        check_rows(zeros((3,), shape), 3)


ROWS = signature((-1, 3), (-1,))


def inputs_of(rows: int, first: float, *, packed: bool) -> Inputs:
    matrix = np.arange(first, first + rows * 3, dtype=np.float32).reshape(rows, 3)
    vector = np.arange(first, first + rows, dtype=np.float32)
    return PackedRows([matrix.tobytes(), vector.tobytes()], rows) if packed else [matrix, vector]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_packed_rows_mean_what_arrays_mean(sizes: list[tuple[int, bool]]) -> None:
    """However the requests of a batch came, the run gets the same rows in the same order, and they weigh the
    same."""
    mixed = [inputs_of(rows, 10.0 * place, packed=packed) for place, (rows, packed) in enumerate(sizes)]
    plain = [inputs_of(rows, 10.0 * place, packed=False) for place, (rows, _) in enumerate(sizes)]
    for got, want in zip(Joiner(ROWS).arrays(mixed), Joiner(ROWS).arrays(plain), strict=True):
        np.testing.assert_array_equal(got, want)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert got.flags.c_contiguous
        assert got.flags.aligned
    measure = measure_of(ROWS)
    assert [measure(part) for part in mixed] == [measure(part) for part in plain]


@pytest.mark.parametrize(
    ("specs", "may"),
    [
        (ROWS, True),
        (signature((-1, -1)), False),
        (signature((-1, 3), datatype=DataType.BYTES), False),
        (signature((-1, 3), batchable=False), False),
    ],
)
def test_only_rows_of_one_size_are_packed(specs: Signature, may: bool) -> None:
    assert packs(specs) is may
