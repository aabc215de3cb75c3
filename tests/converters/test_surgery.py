from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from rapide.converters.columns import Column
from rapide.converters.surgery import Face, rename_inputs, shape_outputs, stamp


def converted() -> ModelProto:
    """What a converter might leave: two float inputs c0, c1; outputs [1, N] labels, [N, 2] scores, and a spare
    one."""
    nodes = [
        helper.make_node("Concat", ["c0", "c1"], ["both"], axis=1),
        helper.make_node("Identity", ["both"], ["scores"]),
        helper.make_node("ArgMax", ["both"], ["position"], axis=1, keepdims=0),
        helper.make_node("Unsqueeze", ["position", "zero"], ["labels"]),
        helper.make_node("Exp", ["both"], ["spare"]),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "random name",
        [helper.make_tensor_value_info(name, floats, [None, 1]) for name in ("c0", "c1")],
        [
            helper.make_tensor_value_info("labels", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("scores", floats, [None, 9]),
            helper.make_tensor_value_info("spare", floats, [None, 2]),
        ],
        [numpy_helper.from_array(np.array([0]), "zero"), numpy_helper.from_array(np.array([1]), "not needed")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def run(model: ModelProto, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


COLUMNS = [Column("old", "boolean"), Column("count of doors", "integer")]
LABEL = Face("label", 0, None, TensorProto.INT64)


@pytest.fixture
def operated() -> ModelProto:
    model = converted()
    rename_inputs(model, COLUMNS, "float32")
    return model


def test_inputs_get_their_columns_names_and_types(operated: ModelProto) -> None:
    shape_outputs(operated, [LABEL, Face("scores", 1, 2, TensorProto.FLOAT)])
    feeds = {"old": np.array([[True], [False]]), "count of doors": np.array([[0], [5]])}
    answers = run(operated, **feeds)
    assert answers["label"].tolist() == [0, 1]
    assert answers["scores"].tolist() == [[1, 0], [0, 5]]


def test_what_nobody_asked_for_goes(operated: ModelProto) -> None:
    shape_outputs(operated, [LABEL])
    assert [output.name for output in operated.graph.output] == ["label"]
    kinds = {node.op_type for node in operated.graph.node}
    assert kinds.isdisjoint({"Exp", "Identity"})
    assert "not needed" not in {tensor.name for tensor in operated.graph.initializer}


def test_one_column_may_be_taken(operated: ModelProto) -> None:
    shape_outputs(operated, [Face("score", 1, 1, TensorProto.FLOAT, take=1)])
    answers = run(operated, **{"old": np.array([[True]]), "count of doors": np.array([[7]])})
    assert answers["score"].tolist() == [[7.0]]


def test_labels_may_become_names(operated: ModelProto) -> None:
    face = Face("label", 0, None, TensorProto.STRING, names=((0, "first"), (1, "second")))
    shape_outputs(operated, [face])
    answers = run(operated, **{"old": np.array([[True]]), "count of doors": np.array([[7]])})
    assert answers["label"].tolist() == ["second"]
    assert {opset.domain: opset.version for opset in operated.opset_import}["ai.onnx.ml"] >= 3


def test_outputs_may_be_called_like_inner_values(operated: ModelProto) -> None:
    shape_outputs(operated, [Face("both", 1, 2, TensorProto.FLOAT)])
    answers = run(operated, **{"old": np.array([[True]]), "count of doors": np.array([[7]])})
    assert answers["both"].tolist() == [[1.0, 7.0]]


def test_the_same_model_has_the_same_bytes(operated: ModelProto) -> None:
    other = converted()
    other.graph.name = "another random name"
    other.producer_version = "1.2.3"
    rename_inputs(other, COLUMNS, "float32")
    for model in (operated, other):
        stamp(model, "test")
    assert operated.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_loop_bodies_follow_their_surroundings() -> None:
    """A body that reads a renamed value from outside of it."""
    body = helper.make_graph(
        [helper.make_node("Add", ["item", "c0"], ["sum"])],
        "body",
        [helper.make_tensor_value_info("item", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(
        [helper.make_node("Scan", ["c0"], ["out"], body=body, num_scan_inputs=1)],
        "scan",
        [helper.make_tensor_value_info("c0", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    rename_inputs(model, [Column("size", "number")], "float32")
    shape_outputs(model, [Face("out", 0, 2, TensorProto.FLOAT)])
    answers = run(model, size=np.array([[1.0], [2.0]], np.float32))
    assert answers["out"].tolist() == [[2.0, 3.0], [3.0, 4.0]]
