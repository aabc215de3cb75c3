"""The runtime's edges: datatypes, empty tensors, and whose fault an error is."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rapide.server.errors import BrokenVersion, Internal, InvalidRequest
from rapide.server.model.session import Session, SessionOptions
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array
from tests import models


def session_of(model: onnx.ModelProto, folder: Path = Path(), **options: object) -> Session:
    return Session(
        model.SerializeToString(),
        folder,
        has_external_data=False,
        options=SessionOptions(**options),  # type: ignore[arg-type]
    )


def values_of(datatype: DataType, shape: tuple[int, ...]) -> Array:
    """Values that tell every element apart, as far as the datatype can."""
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    if datatype is DataType.BYTES:
        texts = np.empty(shape, object)
        texts[...] = np.vectorize(lambda number: f"té\0xt {number}".encode(), otypes=[object])(numbers)
        return texts
    return (numbers % 2 if datatype is DataType.BOOL else numbers).astype(NUMPY_DTYPES[datatype])


@pytest.mark.parametrize("shape", [(4, 3), (1, 3), (0, 3), (2, 0)], ids=str)
@pytest.mark.parametrize("datatype", DataType)
def test_every_datatype_goes_through_unchanged(datatype: DataType, shape: tuple[int, ...]) -> None:
    session = session_of(models.identity(datatype, ("N", "M")))
    given = values_of(datatype, shape) if 0 not in shape else np.empty(shape, NUMPY_DTYPES[datatype])
    (found,) = session.run([given])
    assert found.dtype == NUMPY_DTYPES[datatype]
    assert found.shape == shape
    assert found.tobytes() == given.tobytes() if datatype is not DataType.BYTES else (found == given).all()


@pytest.mark.parametrize("datatype", DataType)
def test_scalars_go_through_unchanged(datatype: DataType) -> None:
    session = session_of(models.identity(datatype, ()))
    (found,) = session.run([values_of(datatype, (1,)).reshape(())])
    assert (found.shape, found.item()) == ((), values_of(datatype, (1,)).item())


def test_all_datatypes_at_once() -> None:
    session = session_of(models.everything())
    given = [values_of(tensor.datatype, (2, 2)) for tensor in session.inputs]
    for found, expected in zip(session.run(given), given, strict=True):
        assert (found == expected).all()


def test_bf16_beside_other_numbers() -> None:
    model = models.build(
        [helper.make_node("Identity", ["a"], ["y"]), helper.make_node("Identity", ["b"], ["z"])],
        [models.port("a", TensorProto.BFLOAT16, ("N",)), models.port("b", TensorProto.INT32, ("N",))],
        [models.port("y", TensorProto.BFLOAT16, ("N",)), models.port("z", TensorProto.INT32, ("N",))],
    )
    given = [values_of(DataType.BF16, (3,)), values_of(DataType.INT32, (3,))]
    for found, expected in zip(session_of(model).run(given), given, strict=True):
        assert (found == expected).all()


def test_text_inputs_with_bf16_outputs_are_refused_at_load() -> None:
    model = models.build(
        [helper.make_node("Identity", ["a"], ["y"]), helper.make_node("Identity", ["t"], ["u"])],
        [models.port("a", TensorProto.BFLOAT16, ("N",)), models.port("t", TensorProto.STRING, ("N",))],
        [models.port("y", TensorProto.BFLOAT16, ("N",)), models.port("u", TensorProto.STRING, ("N",))],
    )
    with pytest.raises(BrokenVersion, match="cannot combine text inputs with BF16 outputs"):
        session_of(model)


def test_read_only_and_unaligned_memory_will_do() -> None:
    """Requests are views on received bytes."""
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    received = b"\0" + x.tobytes()
    view = np.frombuffer(received, np.uint8)[1:].view(np.float32).reshape(2, 4)
    session = session_of(models.linear())
    assert (session.run([view])[0] == session.run([x])[0]).all()


def test_selection_orders_and_drops_outputs() -> None:
    session = session_of(models.two_inputs())
    session.select(["b", "a"], ["difference"])
    (difference,) = session.run([np.array([[1, 2]], np.int32), np.array([[10, 10]], np.int32)])
    assert difference.tolist() == [[9, 8]]


def test_text_that_is_not_utf_8_is_the_callers_fault_and_located() -> None:
    session = session_of(models.identity(DataType.BYTES, ("N", 2)))
    given = np.array([[b"fine", b"fine"], [b"fine", b"ab\xff"]], object)
    with pytest.raises(InvalidRequest, match=r"input 'x' must be UTF-8 text: element \[1, 1\] is not, at byte 2"):
        session.run([given])


def test_an_unknown_category_is_the_callers_fault() -> None:
    encoder = helper.make_node(
        "OneHotEncoder", ["x"], ["y"], domain="ai.onnx.ml", cats_strings=["Ford", "Opel"], zeros=0
    )
    x, y = models.port("x", TensorProto.STRING, ("N", 1)), models.port("y", TensorProto.FLOAT, ("N", 1, 2))
    session = session_of(models.build([encoder], [x], [y]))
    assert session.run([np.array([[b"Opel"]], object)])[0].tolist() == [[[0.0, 1.0]]]
    with pytest.raises(InvalidRequest, match="none of the categories that it was trained on"):
        session.run([np.array([[b"Frod"]], object)])


def test_what_the_runtime_calls_invalid_is_the_callers_fault() -> None:
    with pytest.raises(InvalidRequest, match=r"the model refuses this input: indices element out of data bounds"):
        session_of(models.lookup()).run([np.array([99])])


def test_what_else_fails_is_ours_and_says_nothing_private() -> None:
    with pytest.raises(Internal) as caught:
        session_of(models.failing()).run([np.zeros((1, 4), np.float32)])
    assert str(caught.value) == "the model failed on this input; the log has the details"
    assert "Reshape" in str(caught.value.__cause__)


def test_inputs_that_disagree_on_a_shared_dimension_are_the_callers_fault() -> None:
    model = models.build(
        [helper.make_node("Add", ["ids", "mask"], ["y"])],
        [models.port("ids", TensorProto.FLOAT, ("N", "T")), models.port("mask", TensorProto.FLOAT, ("N", "T"))],
        [models.port("y", TensorProto.FLOAT, ("N", "T"))],
    )
    with pytest.raises(InvalidRequest, match=r"'ids' and 'mask' must have the same size in dimension 'T'.*5 and"):
        session_of(model).run([np.zeros((1, 5), np.float32), np.zeros((1, 7), np.float32)])


def test_a_kernel_that_cannot_take_an_empty_dimension_is_the_callers_business() -> None:
    model = models.build(
        [helper.make_node("ArgMax", ["x"], ["y"], axis=1)],
        [models.port("x", TensorProto.FLOAT, ("N", "T"))],
        [models.port("y", TensorProto.INT64, ("N", 1))],
    )
    with pytest.raises(InvalidRequest, match=r"input 'x' has shape \[2, 0\]; the model cannot take an empty dim"):
        session_of(model).run([np.zeros((2, 0), np.float32)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "No graph was found"),
        (b"garbage", "protobuf parsing failed"),
        (models.unknown_operator().SerializeToString(), "Telepathy"),
        (models.linear().SerializeToString()[:-20], "does not load it"),
    ],
    ids=["empty", "garbage", "unknown operator", "truncated"],
)
def test_what_the_runtime_cannot_load_is_broken(content: bytes, reason: str) -> None:
    with pytest.raises(BrokenVersion, match=reason):
        Session(content, Path(), has_external_data=False, options=SessionOptions())


def test_external_data_is_read_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(models.LINEAR_WEIGHTS.tobytes())
    model = models.external("weights.bin").SerializeToString()
    session = Session(model, tmp_path, has_external_data=True, options=SessionOptions())
    (found,) = session.run([np.ones((1, 4), np.float32)])
    assert found.tolist() == [(models.LINEAR_WEIGHTS.sum(axis=0) + models.LINEAR_BIAS).tolist()]


@pytest.mark.parametrize("level", ["off", "basic", "extended", "all"])
def test_graph_levels(level: str) -> None:
    session = session_of(models.linear(), graph_level=level, threads=2, spinning=True, arena=False)
    (found,) = session.run([np.ones((1, 4), np.float32)])
    assert found.shape == (1, 3)


def test_the_runtime_is_told_to_keep_quiet() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert "ORT_LOAD_CONFIG_FROM_MODEL" not in os.environ


def test_knobs_of_the_runtime_change_no_answer() -> None:
    given = [np.arange(8, dtype=np.float32).reshape(2, 4)]
    plain = session_of(models.linear()).run(given)
    tuned = session_of(
        models.linear(), threads=2, spinning=True, graph_level="basic", arena=False, dynamic_block_base=4
    )
    assert np.allclose(tuned.run(given)[0], plain[0])
