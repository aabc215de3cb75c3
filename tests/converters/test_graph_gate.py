"""Graphs that may not be published: each is refused, with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from rapide.converters import graph_gate
from rapide.converters.errors import GateRefused
from rapide.converters.graph_gate import read_graph
from rapide.server.model import graph_rules
from rapide.server.model.graph_rules import check_graph


def model(*nodes: onnx.NodeProto, initializers: tuple[TensorProto, ...] = ()) -> ModelProto:
    graph = helper.make_graph(
        nodes or [helper.make_node("Relu", ["x"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("acme", 1)])


def external() -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def nested(depth: int) -> GraphProto:
    inner = [helper.make_node("Constant", [], ["out"], value=numpy_helper.from_array(np.zeros(1, np.float32)))]
    for _ in range(depth):
        body = helper.make_graph(inner, "body", [], [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])])
        condition = helper.make_node("Constant", [], ["if"], value=numpy_helper.from_array(np.array(True)))
        inner = [condition, helper.make_node("If", ["if"], ["out"], then_branch=body, else_branch=body)]
    return inner


def with_function() -> ModelProto:
    made = model()
    function = helper.make_function(
        "acme", "F", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [helper.make_opsetid("", 21)]
    )
    made.functions.append(function)
    return made


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        pytest.param(
            model(helper.make_node("Evil", ["x"], ["y"], domain="acme")),
            "operator 'Evil' is of the domain 'acme'",
            id="domain",
        ),
        pytest.param(
            model(helper.make_node("Add", ["x", "w"], ["y"]), initializers=(external(),)),
            "weights 'w' lie outside",
            id="external weights",
        ),
        pytest.param(
            model(
                helper.make_node("Constant", [], ["w"], value=external()),
                helper.make_node("Add", ["x", "w"], ["y"]),
            ),
            "weights 'w' lie outside",
            id="external weights in an attribute",
        ),
        pytest.param(model(helper.make_node("Relu", ["nowhere"], ["y"])), "onnx.checker refuses", id="dangling"),
        pytest.param(
            model(*nested(10), helper.make_node("Add", ["x", "out"], ["y"])), "nests more than 8", id="depth"
        ),
    ],
)
def test_refused(tmp_path: Path, graph: ModelProto, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(GateRefused, match=message) as error:
        read_graph(path)
    assert error.value.gate == "graph"


def test_no_protobuf(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(GateRefused, match="no ONNX model, or damaged"):
        read_graph(tmp_path / "model.onnx")


def test_functions_are_counted_as_they_are_written_out(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(with_function().SerializeToString())
    assert check_graph(read_graph(path)).functions == 1


@pytest.mark.parametrize(
    ("module", "bound", "message"),
    [(graph_gate, "MAX_MODEL_BYTES", "bytes; the limit"), (graph_rules, "MAX_NODES", "nodes; the limit")],
)
def test_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, bound: str, message: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model().SerializeToString())
    assert read_graph(path).graph.name == "test"
    monkeypatch.setattr(module, bound, 0)
    with pytest.raises(GateRefused, match=message):
        read_graph(path)
