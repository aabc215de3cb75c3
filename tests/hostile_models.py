"""Models that were made to do harm, each by one means; written as the files of one version.

Nothing here is larger than a few megabytes on disk: what is huge is huge only in what it claims.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests import models

Write = Callable[[Path], object]
"""Writes a version's files into a folder."""

TIB = 1 << 40
_ROWS: models.Shape = ("N", 2)


@dataclass(frozen=True, slots=True)
class Attack:
    """``name`` says what is done, ``write`` does it; ``says`` is a pattern of the reason why it is refused."""

    name: str
    says: str
    write: Write


def _model(
    nodes: Sequence[NodeProto],
    tensors: Sequence[TensorProto] = (),
    *,
    takes: models.Shape = _ROWS,
    gives: models.Shape = _ROWS,
    **fields: object,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [models.port("x", TensorProto.FLOAT, takes)],
        [models.port("y", TensorProto.FLOAT, gives)],
        list(tensors),
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("acme", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **fields)


def _wrote(make: Callable[[], onnx.ModelProto | bytes], **others: bytes) -> Write:
    """Writes ``model.onnx`` (and ``others``, by name with ``_`` for ``.``)."""

    def write(folder: Path) -> None:
        made = make()
        (folder / "model.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        for name, content in others.items():
            (folder / name.replace("_", ".")).write_bytes(content)

    return write


def _initializer(name: str, dims: Sequence[int], raw: bytes = b"", kind: int = TensorProto.FLOAT) -> TensorProto:
    return TensorProto(name=name, dims=dims, data_type=kind, raw_data=raw)


def _add(tensor: TensorProto) -> onnx.ModelProto:
    return _model([helper.make_node("Add", ["x", tensor.name], ["y"])], [tensor])


# What lies outside of the file.


def _outside(location: str, length: int | None = 8, dims: Sequence[int] = (2,)) -> onnx.ModelProto:
    tensor = TensorProto(name="w", dims=dims, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    if length is not None:
        tensor.external_data.add(key="length", value=str(length))
    return _add(tensor)


def _linked(folder: Path) -> None:
    _wrote(lambda: _outside("weights.bin"))(folder)
    os.symlink("/etc/passwd", folder / "weights.bin")


def _linked_folder(folder: Path) -> None:
    _wrote(lambda: _outside("weights/passwd"))(folder)
    os.symlink("/etc", folder / "weights")


def _piped(folder: Path) -> None:
    _wrote(lambda: _outside("weights.bin"))(folder)
    os.mkfifo(folder / "weights.bin")


# What claims to be huge.


def _folded(value: bytes, operator: str, tensors: Sequence[TensorProto] = ()) -> onnx.ModelProto:
    """Constants that the runtime computes when it loads the graph."""
    shape = _initializer("shape", [len(value) // 8], value, TensorProto.INT64)
    nodes = [
        helper.make_node(operator, ["shape"] if operator == "ConstantOfShape" else ["one", "shape"], ["big"]),
        helper.make_node("ReduceMax", ["big"], ["most"], keepdims=0),
        helper.make_node("Add", ["x", "most"], ["y"]),
    ]
    return _model(nodes, [shape, *tensors])


def _int64(*values: int) -> bytes:
    return np.array(values, np.int64).tobytes()


def _doubling(times: int) -> onnx.ModelProto:
    """Each constant is the one before, twice: 2^times floats, of a kilobyte of graph."""
    nodes = [helper.make_node("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(times)]
    nodes += [
        helper.make_node("ReduceMax", [f"c{times}"], ["most"], keepdims=0),
        helper.make_node("Add", ["x", "most"], ["y"]),
    ]
    return _model(nodes, [numpy_helper.from_array(np.zeros(1, np.float32), "c0")])


def _sparse(dims: Sequence[int] = (1 << 20, 1 << 20)) -> onnx.ModelProto:
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = numpy_helper.from_array(np.zeros((1, 2), np.int64), "w_indices")
    made = _model([helper.make_node("Add", ["x", "w"], ["y"])])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, list(dims)))
    return made


def _many_nodes() -> bytes:
    """Written as bytes: the same small node again and again."""
    made = _model([])
    node = helper.make_node("Neg", ["x"], ["y"]).SerializeToString()
    graph = (b"\x0a" + _varint(len(node)) + node) * 250_001 + made.graph.SerializeToString()
    made.ClearField("graph")
    return bytes(made.SerializeToString()) + b"\x3a" + _varint(len(graph)) + graph


# What never ends, or is nested too deeply.


def _forever() -> onnx.ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going_in"], ["going"]),
            helper.make_node("Neg", ["state_in"], ["state"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_in", TensorProto.FLOAT, ["N", 2]),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, ["N", 2]),
        ],
    )
    tensors = [
        numpy_helper.from_array(np.array(2**63 - 1, np.int64), "turns"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    return _model([helper.make_node("Loop", ["turns", "yes", "x"], ["y"], body=body)], tensors)


def _nested(depth: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Constant", [], ["out"], value=numpy_helper.from_array(np.zeros(2, np.float32)))]
    for _ in range(depth):
        body = helper.make_graph(nodes, "body", [], [models.port("out", TensorProto.FLOAT, [2])])
        condition = helper.make_node("Constant", [], ["if"], value=numpy_helper.from_array(np.array(True)))
        nodes = [condition, helper.make_node("If", ["if"], ["out"], then_branch=body, else_branch=body)]
    return _model([*nodes, helper.make_node("Add", ["x", "out"], ["y"])])


def _deep_protobuf(depth: int) -> bytes:
    """Graph, node, attribute, graph, … as no library would serialise it."""
    content = b""
    for level in range(depth):
        field = (7, 1, 5, 6)[0 if level == depth - 1 else 1 + (depth - 2 - level) % 3]
        content = bytes([field << 3 | 2]) + _varint(len(content)) + content
    return b"\x08\x08" + content


def _varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _calls_itself() -> onnx.ModelProto:
    return _with_functions({"F": ["F"]}, "F")


def _calls_each_other() -> onnx.ModelProto:
    return _with_functions({"F": ["G"], "G": ["F"]}, "F")


def _calls_double(times: int) -> onnx.ModelProto:
    """Each function calls the next twice: 2^times nodes when they are written out."""
    calls = {f"F{i}": [f"F{i + 1}", f"F{i + 1}"] for i in range(times)}
    return _with_functions({**calls, f"F{times}": []}, "F0")


def _with_functions(calls: dict[str, list[str]], first: str) -> onnx.ModelProto:
    made = _model([helper.make_node(first, ["x"], ["y"], domain="acme")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("acme", 1)]
    for name, called in calls.items():
        steps = [
            helper.make_node(other, [f"v{i}"], [f"v{i + 1}"], domain="acme") for i, other in enumerate(called)
        ]
        last = helper.make_node("Neg", [f"v{len(called)}"], ["out"])
        made.functions.append(helper.make_function("acme", name, ["v0"], ["out"], [*steps, last], opsets))
    return made


def _cyclic() -> onnx.ModelProto:
    return _model(
        [
            helper.make_node("Add", ["x", "b"], ["a"]),
            helper.make_node("Add", ["x", "a"], ["b"]),
            helper.make_node("Neg", ["b"], ["y"]),
        ]
    )


def tree(true_ids: list[int], false_ids: list[int], feature: int = 0) -> onnx.ModelProto:
    count = len(true_ids)
    leaf = [i for i in range(count) if true_ids[i] == 0 and false_ids[i] == 0]
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0] * count,
        nodes_nodeids=list(range(count)),
        nodes_featureids=[feature] * count,
        nodes_values=[0.5] * count,
        nodes_modes=["LEAF" if i in leaf else "BRANCH_LEQ" for i in range(count)],
        nodes_truenodeids=true_ids,
        nodes_falsenodeids=false_ids,
        target_treeids=[0] * len(leaf),
        target_nodeids=leaf,
        target_ids=[0] * len(leaf),
        target_weights=[1.0] * len(leaf),
    )
    return _model([node], gives=("N", 1))


# What is no model at all.


class _Shell:
    def __reduce__(self) -> object:
        return os.system, ("touch /tmp/rapide-was-here",)


def _pickled() -> bytes:
    return pickle.dumps(_Shell())


def _joblib_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pkl", bytes(100_000_000))
    return out.getvalue()


def _gzipped() -> bytes:
    return gzip.compress(bytes(100_000_000))


# Names.


def _renamed(old: str, new: str) -> onnx.ModelProto:
    made = _model([helper.make_node("Neg", [old], ["y"])])
    made.graph.node[0].input[0] = new
    made.graph.input[0].name = new
    return made


def _twice_an_output() -> onnx.ModelProto:
    return _model([helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])])


def _twice_an_initializer() -> onnx.ModelProto:
    one = numpy_helper.from_array(np.ones(2, np.float32), "w")
    two = numpy_helper.from_array(np.full(2, 2, np.float32), "w")
    return _model([helper.make_node("Add", ["x", "w"], ["y"])], [one, two])


def _twice_an_input() -> onnx.ModelProto:
    made = _model([helper.make_node("Neg", ["x"], ["y"])])
    made.graph.input.append(models.port("x", TensorProto.FLOAT, _ROWS))
    return made


def _future_opset() -> onnx.ModelProto:
    made = _model([helper.make_node("Neg", ["x"], ["y"])])
    made.opset_import[0].version = 10**9
    return made


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "external data up the tree", "may lead out of its folder", _wrote(lambda: _outside("../../../etc/passwd"))
    ),
    Attack(
        "external data at an absolute path", "may lead out of its folder", _wrote(lambda: _outside("/etc/passwd"))
    ),
    Attack(
        "external data with a NUL in its path",
        "may lead out of its folder",
        _wrote(lambda: _outside("weights.bin\0/../../etc/passwd")),
    ),
    Attack("external data behind a link", "which is a link", _linked),
    Attack("external data behind a linked folder", "which is a link", _linked_folder),
    Attack("external data in a pipe", "is no regular file", _piped),
    Attack("external data that is missing", "No such file", _wrote(lambda: _outside("weights.bin"))),
    Attack(
        "truncated weights",
        "up to byte 8, but the file has 4",
        _wrote(lambda: _outside("weights.bin"), weights_bin=bytes(4)),
    ),
    Attack(
        "weights larger than their file",
        "up to byte 4398046511104, but the file has 8",
        _wrote(lambda: _outside("weights.bin", None, [TIB]), weights_bin=bytes(8)),
    ),
    Attack(
        "weights longer than their shape",
        "is to be read from 8 bytes instead of 4",
        _wrote(lambda: _outside("weights.bin", 8, [1]), weights_bin=bytes(8)),
    ),
    Attack(
        "an initializer larger than its data",
        "holds 8 bytes instead of 4398046511104",
        _wrote(lambda: _add(_initializer("w", [TIB], bytes(8)))),
    ),
    Attack(
        "an initializer without data",
        "holds 0 bytes instead of 34359738368",
        _wrote(lambda: _add(_initializer("w", [1 << 33]))),
    ),
    Attack(
        "dimensions whose product overflows",
        "holds 8 bytes instead of 73786976294838206464",
        _wrote(lambda: _add(_initializer("w", [1 << 32, 1 << 32], bytes(8)))),
    ),
    Attack(
        "an initializer of very many dimensions",
        "its tensor 'w' has 200000 dimensions; the limit is 64",
        _wrote(lambda: _add(_initializer("w", [1 << 62] * 200_000, bytes(8)))),
    ),
    Attack(
        "an input of very many dimensions",
        "its input 'x' has 300 dimensions; the limit is 64",
        _wrote(lambda: _model([helper.make_node("Neg", ["x"], ["y"])], takes=("N", *[1 << 62] * 299))),
    ),
    Attack(
        "a sparse tensor of very many dimensions",
        "its tensor 'w' has 300 dimensions; the limit is 64",
        _wrote(lambda: _sparse([1 << 62] * 300)),
    ),
    Attack(
        "external data at a place that no file has",
        "the place of a tensor's data is not a number",
        _wrote(lambda: _outside("weights.bin", int("9" * 4300)), weights_bin=bytes(8)),
    ),
    Attack(
        "a negative dimension", r"has the shape \[-2\]", _wrote(lambda: _add(_initializer("w", [-2], bytes(8))))
    ),
    Attack(
        "an input of huge rows",
        "one row of its input 'x' has 1099511627776 elements; the limit is",
        _wrote(lambda: _model([helper.make_node("Neg", ["x"], ["y"])], takes=("N", TIB))),
    ),
    Attack("a sparse tensor of huge dimensions", "takes 4398046511104 bytes written out", _wrote(_sparse)),
    Attack("a quarter of a million nodes", "has 250001 nodes; the limit is", _wrote(_many_nodes)),
    Attack("branches nested deep", "nests more than 8 loops or branches", _wrote(lambda: _nested(12))),
    Attack("protobuf nested 3,000 deep", "no ONNX model, or damaged", _wrote(lambda: _deep_protobuf(3000))),
    Attack("a function that calls itself", "'acme:F' calls itself", _wrote(_calls_itself)),
    Attack("functions that call each other", "'acme:F' calls itself", _wrote(_calls_each_other)),
    Attack(
        "functions that double", "4294967294 nodes with functions written out", _wrote(lambda: _calls_double(30))
    ),
    Attack("a cyclic graph", "its graph is cyclic", _wrote(_cyclic)),
    Attack(
        "an operator of an unknown domain",
        "'Evil' is of the domain 'acme'",
        _wrote(lambda: _model([helper.make_node("Evil", ["x"], ["y"], domain="acme")])),
    ),
    Attack("a renamed pickle", "is a pickle, no ONNX model", _wrote(_pickled)),
    Attack("a renamed zip bomb", "is a zip archive, no ONNX model", _wrote(_joblib_zip)),
    Attack("a renamed gzip bomb", "is a gzip file, no ONNX model", _wrote(_gzipped)),
    Attack(
        "a model cut short",
        "no ONNX model, or damaged|ends in the middle",
        _wrote(lambda: models.linear().SerializeToString()[:-20]),
    ),
    Attack("garbage", "no ONNX model", _wrote(lambda: np.random.default_rng(1).bytes(5000))),
    Attack("an empty file", "has no graph|is empty", _wrote(lambda: b"")),
    Attack("a NUL in an input's name", "has no printable name", _wrote(lambda: _renamed("x", "x\0hidden"))),
    Attack("an output made twice", "gives 'y' twice", _wrote(_twice_an_output)),
    Attack("an initializer given twice", "gives 'w' twice", _wrote(_twice_an_initializer)),
    Attack("an input given twice", "'x' is there twice", _wrote(_twice_an_input)),
)
"""What the bounds of the graph refuse, without running anything; ``says`` is part of the reason."""

IN_THE_RUNTIME: tuple[Attack, ...] = (
    Attack(
        "a tree whose branch leads to itself",
        "A node cannot point to itself",
        _wrote(lambda: tree([0, 0, 0], [1, 0, 0])),
    ),
    Attack(
        "a tree with a cycle",
        "False node must always be the next node",
        _wrote(lambda: tree([1, 0, 0], [2, 2, 0])),
    ),
    Attack(
        "a tree that leads nowhere", "the runtime does not load it", _wrote(lambda: tree([1000, 0, 0], [2, 0, 0]))
    ),
    Attack(
        "an unknown operator",
        "No Op registered for Evil",
        _wrote(lambda: _model([helper.make_node("Evil", ["x"], ["y"])])),
    ),
    Attack("an operator set of the future", "Opset 1000000000 is under development", _wrote(_future_opset)),
    Attack("a huge constant", "needed more than .* GiB", _wrote(lambda: _folded(_int64(TIB), "ConstantOfShape"))),
    Attack(
        "a large constant", "needed more than .* GiB", _wrote(lambda: _folded(_int64(3 << 30), "ConstantOfShape"))
    ),
    Attack(
        "a large expansion",
        "needed more than .* GiB",
        _wrote(
            lambda: _folded(
                _int64(1 << 20, 1 << 16), "Expand", [numpy_helper.from_array(np.ones((1, 1), np.float32), "one")]
            )
        ),
    ),
    Attack("constants that double", "needed more than .* GiB|longer than", _wrote(lambda: _doubling(36))),
    Attack("a loop without end", "longer than", _wrote(_forever)),
)
"""What only loading and running shows: for the trial, in a process with limits."""
