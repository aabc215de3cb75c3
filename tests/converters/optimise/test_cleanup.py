"""Clean-up: what goes, what must not, and that the answers stay the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from rapide.converters.optimise.cleanup import clean
from tests.models import build, port

X = port("x", TensorProto.FLOAT, ("N", 4))
Y = port("y", TensorProto.FLOAT, ("N", 4))
ROWS = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


def node(kind: str, given: str, made: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, given.split(), made.split(), **attributes)


def cleaned(model: onnx.ModelProto, folder: Path, *outputs: str) -> tuple[list[str], dict[str, int]]:
    """The operators that are left and what was done, after proving that the answers are the same to the bit."""
    result, facts = clean(model, list(outputs or ["y"]), folder)
    onnx.checker.check_model(result)
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString()).run(list(outputs or ["y"]), {"x": ROWS})
        for each in (model, result)
    )
    for left, right in zip(before, after, strict=True):
        assert np.array_equal(left, right)
    assert all(each.name for each in result.graph.node)
    return [each.op_type for each in result.graph.node], facts["changes"]


def test_an_unused_output_takes_its_zipmap_with_it(tmp_path: Path) -> None:
    z = helper.make_value_info("z", helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    ))  # fmt: skip
    nodes = [
        node("Softmax", "x", "y"),
        node("ZipMap", "y", "z", domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3]),
    ]
    assert cleaned(build(nodes, [X], [Y, z]), tmp_path) == (
        ["Softmax"],
        {"outputs": 1, "unused nodes and identities": 1},
    )


def test_identities_and_needless_casts_go(tmp_path: Path) -> None:
    nodes = [
        node("Identity", "x", "a"),
        node("Cast", "a", "b", to=TensorProto.FLOAT),
        node("Cast", "b", "c", to=TensorProto.DOUBLE),
        node("Cast", "c", "d", to=TensorProto.FLOAT),
        node("Relu", "d", "y"),
    ]
    operators, changes = cleaned(build(nodes, [X], [Y]), tmp_path)
    assert operators == ["Relu"]
    assert changes["casts"] == 2
    assert changes["unused nodes and identities"] == 1


def test_a_cast_that_loses_something_stays(tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "a", to=TensorProto.INT64), node("Cast", "a", "y", to=TensorProto.FLOAT)]
    assert cleaned(build(nodes, [X], [Y]), tmp_path) == (["Cast", "Cast"], {})


def test_equal_subexpressions_become_one(tmp_path: Path) -> None:
    nodes = [
        node("Sin", "x", "a"),
        node("Sin", "x", "b"),
        node("Exp", "a", "c"),
        node("Exp", "b", "d"),
        node("Mul", "c d", "y"),
    ]
    operators, changes = cleaned(build(nodes, [X], [Y]), tmp_path)
    assert operators == ["Sin", "Exp", "Mul"]
    assert changes["equal subexpressions"] == 2


def test_unlike_nodes_are_not_merged(tmp_path: Path) -> None:
    nodes = [node("Softmax", "x", "a", axis=0), node("Softmax", "x", "b", axis=1), node("Mul", "a b", "y")]
    assert cleaned(build(nodes, [X], [Y]), tmp_path)[0] == ["Softmax", "Softmax", "Mul"]


def test_random_nodes_are_not_merged(tmp_path: Path) -> None:
    nodes = [node("RandomUniformLike", "x", "a"), node("RandomUniformLike", "x", "b"), node("Sub", "a b", "y")]
    result, facts = clean(build(nodes, [X], [Y]), ["y"], tmp_path)
    assert facts["changes"] == {}
    assert len(result.graph.node) == 3


def test_constants_are_computed_beforehand(tmp_path: Path) -> None:
    nodes = [node("Exp", "one", "e"), node("Add", "x e", "y")]
    model = build(nodes, [X], [Y], {"one": np.ones(4, np.float32)})
    operators, changes = cleaned(model, tmp_path)
    assert operators == ["Add"]
    assert changes == {"folded or fused by the runtime": 1}


def test_an_output_keeps_its_name_and_both_outputs_their_order(tmp_path: Path) -> None:
    z = port("z", TensorProto.FLOAT, ("N", 4))
    model = build([node("Identity", "x", "y"), node("Relu", "x", "z")], [X], [Y, z])
    result, _ = clean(model, ["y", "z"], tmp_path)
    assert [value.name for value in result.graph.output] == ["y", "z"]
    assert cleaned(model, tmp_path, "y", "z")[0] == ["Identity", "Relu"]


def test_branches_read_what_took_the_place_of_what_they_read(tmp_path: Path) -> None:
    """A branch may read values from outside; renaming must reach into it."""
    branches = {
        name: helper.make_graph([node(kind, "b", name)], name, [], [port(name, TensorProto.FLOAT, ("N", 4))])
        for name, kind in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        node("Sin", "x", "a"),
        node("Sin", "x", "b"),
        node("ReduceMax", "a", "m", keepdims=0),
        node("Greater", "m zero", "is"),
        node("If", "is", "y", then_branch=branches["then"], else_branch=branches["else"]),
    ]
    model = build(nodes, [X], [Y], {"zero": np.array(0.0, np.float32)})
    assert cleaned(model, tmp_path)[1]["equal subexpressions"] == 1
