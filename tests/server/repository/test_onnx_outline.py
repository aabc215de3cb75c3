from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from rapide.server.repository.onnx_outline import outline_fault
from tests.server.repository.examples import model_bytes

OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("here", 1)]


def real_model() -> bytes:
    """A model with functions, metadata and a tail of small fields after the graph."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", [x], [y])
    add = helper.make_node("Add", ["a", "a"], ["b"])
    twice = helper.make_function("here", "Twice", ["a"], ["b"], [add], OPSETS)
    model = helper.make_model(graph, functions=[twice], opset_imports=OPSETS, doc_string="d" * 300)
    helper.set_model_props(model, {"author": "somebody", "long": "v" * 500})
    onnx.checker.check_model(model)
    return model.SerializeToString()


REAL = real_model()


def fault_of(content: bytes, folder: Path) -> str | None:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return outline_fault(path)


@pytest.mark.parametrize("content", [REAL, model_bytes()])
def test_whole_models(content: bytes, tmp_path: Path) -> None:
    assert fault_of(content, tmp_path) is None


def test_every_cut_inside_the_graph_is_seen(tmp_path: Path) -> None:
    """A cut between two fields that follow the graph cannot be: those carry nothing that a length would miss."""
    graph = onnx.load_from_string(REAL).graph.SerializeToString()
    end_of_graph = REAL.index(graph) + len(graph)
    seen = {fault_of(REAL[:cut], tmp_path) for cut in range(1, end_of_graph)}
    assert None not in seen


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 a zip", "the file is a zip archive, no ONNX model"),
        (b"\x80\x05\x95 a pickle", "the file is a pickle, no ONNX model"),
        (b"\xff" * 20, "the file is no ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\n", "the file is no ONNX model"),
        (b"\x00" * 4096, "the file is no ONNX model"),
        (b"\x08\x0a", "the file has no graph"),
        (b"\xff" * 30, "the file is no ONNX model"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7fabc", "the file ends in the middle of the model"),
        (b"\x08\x0a\x3a", "the file ends in the middle of the model"),
        (b"\x08" * 2 * 100_001, "the file is no ONNX model"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_whole_model(content: bytes, fault: str, tmp_path: Path) -> None:
    assert fault_of(content, tmp_path) == fault


@given(st.binary(max_size=64))
@settings(max_examples=200)
def test_any_bytes_are_judged(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    fault_of(content, tmp_path_factory.getbasetemp())
