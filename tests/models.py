"""Small ONNX models for tests, each known by one trait; built with ``onnx.helper``, answered by arithmetic.

A function returns the model; ``save`` writes one file, ``repository`` a tree ``name/version/model.onnx`` without
manifests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rapide.server.signature import DataType

Shape = Sequence[int | str | None]
"""A graph's shape: a name (or None) is a dynamic dimension."""

ONNX_TYPES: Mapping[DataType, int] = {
    DataType.BOOL: TensorProto.BOOL,
    DataType.UINT8: TensorProto.UINT8,
    DataType.UINT16: TensorProto.UINT16,
    DataType.UINT32: TensorProto.UINT32,
    DataType.UINT64: TensorProto.UINT64,
    DataType.INT8: TensorProto.INT8,
    DataType.INT16: TensorProto.INT16,
    DataType.INT32: TensorProto.INT32,
    DataType.INT64: TensorProto.INT64,
    DataType.FP16: TensorProto.FLOAT16,
    DataType.BF16: TensorProto.BFLOAT16,
    DataType.FP32: TensorProto.FLOAT,
    DataType.FP64: TensorProto.DOUBLE,
    DataType.BYTES: TensorProto.STRING,
}

LINEAR_WEIGHTS = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
LINEAR_BIAS = np.array([0.5, -0.5, 0.0], dtype=np.float32)
CLASS_NAMES = ("low", "high")
VOCABULARY = ("diesel", "petrol", "electric")


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Writes ``model`` (folders included) and returns ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def repository(root: Path, models: Mapping[str, Mapping[int, onnx.ModelProto]]) -> Path:
    """A tree without manifests: ``root/<name>/<version>/model.onnx``. Returns ``root``."""
    for name, versions in models.items():
        for version, model in versions.items():
            save(model, root / name / str(version) / "model.onnx")
    return root


def identity(datatype: DataType = DataType.FP32, shape: Shape = ("N", 3)) -> onnx.ModelProto:
    """``y = x`` for any datatype and shape. Batchable if the first dimension is dynamic."""
    kind = ONNX_TYPES[datatype]
    return build([helper.make_node("Identity", ["x"], ["y"])], [port("x", kind, shape)], [port("y", kind, shape)])


def everything() -> onnx.ModelProto:
    """``in_<NAME>`` → ``out_<NAME>``, both ``[N, 2]``, for every datatype but BF16.

    ONNX Runtime's Python interface cannot combine text inputs with BF16 outputs: see ``identity(DataType.BF16)``.
    """
    kinds = {kind: code for kind, code in ONNX_TYPES.items() if kind is not DataType.BF16}
    return build(
        [helper.make_node("Identity", [f"in_{kind}"], [f"out_{kind}"]) for kind in kinds],
        [port(f"in_{kind}", code, ("N", 2)) for kind, code in kinds.items()],
        [port(f"out_{kind}", code, ("N", 2)) for kind, code in kinds.items()],
    )


def linear(scale: float = 1.0) -> onnx.ModelProto:
    """``y[N,3] = x[N,4] @ (LINEAR_WEIGHTS × scale) + LINEAR_BIAS``; ``scale`` tells versions apart."""
    return build(
        [helper.make_node("Gemm", ["x", "weights", "bias"], ["y"])],
        [port("x", TensorProto.FLOAT, ("N", 4))],
        [port("y", TensorProto.FLOAT, ("N", 3))],
        {"weights": LINEAR_WEIGHTS * np.float32(scale), "bias": LINEAR_BIAS},
    )


def constant(value: float) -> onnx.ModelProto:
    """``y[N,1] = value`` whatever ``x[N,1]`` is (if finite): tells which version answered."""
    return build(
        [
            helper.make_node("Mul", ["x", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "value"], ["y"]),
        ],
        [port("x", TensorProto.FLOAT, ("N", 1))],
        [port("y", TensorProto.FLOAT, ("N", 1))],
        {"zero": np.zeros(1, np.float32), "value": np.array([value], np.float32)},
    )


def classifier() -> onnx.ModelProto:
    """``x[N,2]`` → ``label[N]`` INT64 (column of the larger value) and ``probabilities[N,2]`` (softmax)."""
    return build(
        [
            helper.make_node("Softmax", ["x"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        ],
        [port("x", TensorProto.FLOAT, ("N", 2))],
        [port("label", TensorProto.INT64, ("N",)), port("probabilities", TensorProto.FLOAT, ("N", 2))],
    )


def text_classifier() -> onnx.ModelProto:
    """As ``classifier``, but ``label[N]`` is text: one of CLASS_NAMES."""
    return build(
        [
            helper.make_node("ArgMax", ["x"], ["index"], axis=1, keepdims=0),
            helper.make_node("Gather", ["names", "index"], ["label"], axis=0),
        ],
        [port("x", TensorProto.FLOAT, ("N", 2))],
        [port("label", TensorProto.STRING, ("N",))],
        {"names": np.array(CLASS_NAMES, dtype=object)},
    )


def mixed_columns() -> onnx.ModelProto:
    """One tensor per column, as converted pipelines have: ``price[N,1] = mileage[N,1] + 100 × code(fuel[N,1])``.

    ``fuel`` is text; its code is its place in VOCABULARY, −1 for any other text.
    """
    lookup = helper.make_node(
        "LabelEncoder",
        ["fuel"],
        ["code"],
        domain="ai.onnx.ml",
        keys_strings=list(VOCABULARY),
        values_floats=[float(code) for code in range(len(VOCABULARY))],
        default_float=-1.0,
    )
    return build(
        [
            lookup,
            helper.make_node("Mul", ["code", "hundred"], ["surcharge"]),
            helper.make_node("Add", ["mileage", "surcharge"], ["price"]),
        ],
        [port("fuel", TensorProto.STRING, ("N", 1)), port("mileage", TensorProto.FLOAT, ("N", 1))],
        [port("price", TensorProto.FLOAT, ("N", 1))],
        {"hundred": np.array([100.0], np.float32)},
    )


def two_inputs() -> onnx.ModelProto:
    """``sum[N,2] = a[N,2] + b[N,2]`` and ``difference[N,2] = a − b``, INT32."""
    spec = ("N", 2)
    return build(
        [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])],
        [port("a", TensorProto.INT32, spec), port("b", TensorProto.INT32, spec)],
        [port("sum", TensorProto.INT32, spec), port("difference", TensorProto.INT32, spec)],
    )


def no_batch_dimension() -> onnx.ModelProto:
    """``y[3] = 2 × x[3]``: every dimension is fixed, so every request runs alone."""
    return build(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        [port("x", TensorProto.FLOAT, (3,))],
        [port("y", TensorProto.FLOAT, (3,))],
        {"two": np.array([2.0], np.float32)},
    )


def batch_of_one() -> onnx.ModelProto:
    """``y[1,3] = 2 × x[1,3]``: exported without a dynamic batch, as many models in the wild are."""
    return build(
        [helper.make_node("Mul", ["x", "two"], ["y"])],
        [port("x", TensorProto.FLOAT, (1, 3))],
        [port("y", TensorProto.FLOAT, (1, 3))],
        {"two": np.array([2.0], np.float32)},
    )


def scalar() -> onnx.ModelProto:
    """``y[] = x[] + 1``: rank 0 in and out."""
    return build(
        [helper.make_node("Add", ["x", "one"], ["y"])],
        [port("x", TensorProto.FLOAT, ())],
        [port("y", TensorProto.FLOAT, ())],
        {"one": np.array(1.0, np.float32)},
    )


def sequence() -> onnx.ModelProto:
    """``y[N,T] = running sum of x[N,T] over T``: rows are independent, T is each request's own."""
    return build(
        [helper.make_node("CumSum", ["x", "axis"], ["y"])],
        [port("x", TensorProto.FLOAT, ("N", "T"))],
        [port("y", TensorProto.FLOAT, ("N", "T"))],
        {"axis": np.array(1, np.int64)},
    )


def recurrent() -> onnx.ModelProto:
    """``y[N,2]``: the last state of an LSTM over ``x[N,T,3]``. Its kernel must not see an empty tensor."""
    weights = np.linspace(-1, 1, 8 * 5, dtype=np.float32).reshape(1, 8, 5)
    return build(
        [
            helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
            helper.make_node("LSTM", ["steps", "w", "r"], ["", "last"], hidden_size=2),
            helper.make_node("Squeeze", ["last", "direction"], ["y"]),
        ],
        [port("x", TensorProto.FLOAT, ("N", "T", 3))],
        [port("y", TensorProto.FLOAT, ("N", 2))],
        {"w": weights[:, :, :3], "r": weights[:, :, 3:], "direction": np.array([0])},
    )


def cross_row() -> onnx.ModelProto:
    """``y[N,2] = x[N,2] − mean of the rows``: looks batchable, but rows must never be merged."""
    return build(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        [port("x", TensorProto.FLOAT, ("N", 2))],
        [port("y", TensorProto.FLOAT, ("N", 2))],
        {"axes": np.array([0], np.int64)},
    )


def reversed_rows() -> onnx.ModelProto:
    """``y[N,2] = x[N,2]``, last row first: looks batchable, but row i of the answer is not row i's answer."""
    return build(
        [helper.make_node("Slice", ["x", "start", "end", "axis", "step"], ["y"])],
        [port("x", TensorProto.FLOAT, ("N", 2))],
        [port("y", TensorProto.FLOAT, ("N", 2))],
        {
            "start": np.array([-1], np.int64),
            "end": np.array([np.iinfo(np.int64).min], np.int64),
            "axis": np.array([0], np.int64),
            "step": np.array([-1], np.int64),
        },
    )


def selection() -> onnx.ModelProto:
    """``y[M] = the positive elements of x[N]``: the answer's size depends on the values."""
    return build(
        [helper.make_node("Greater", ["x", "zero"], ["mask"]), helper.make_node("Compress", ["x", "mask"], ["y"])],
        [port("x", TensorProto.FLOAT, ("N",))],
        [port("y", TensorProto.FLOAT, ("M",))],
        {"zero": np.array([0.0], np.float32)},
    )


def lookup(rows: int = 8) -> onnx.ModelProto:
    """``y[N] = 10 × index[N]`` for an index below ``rows``; a larger one makes the whole run fail (poison)."""
    return build(
        [helper.make_node("Gather", ["table", "index"], ["y"])],
        [port("index", TensorProto.INT64, ("N",))],
        [port("y", TensorProto.FLOAT, ("N",))],
        {"table": np.arange(rows, dtype=np.float32) * 10},
    )


def slow(iterations: int = 500) -> onnx.ModelProto:
    """``y[N,4] = x[N,4]``, the long way: ``iterations`` products with a 256 × 256 identity.

    One costs about 3 µs for one row.
    """
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["state", "unit"], ["next_state"]),
        ],
        "step",
        [port("i", TensorProto.INT64, ()), port("go", TensorProto.BOOL, ()), _state("state")],
        [port("go_on", TensorProto.BOOL, ()), _state("next_state")],
    )
    widen = np.eye(4, 256, dtype=np.float32)
    return build(
        [
            helper.make_node("MatMul", ["x", "widen"], ["wide"]),
            helper.make_node("Loop", ["count", "", "wide"], ["last"], body=body),
            helper.make_node("MatMul", ["last", "narrow"], ["y"]),
        ],
        [port("x", TensorProto.FLOAT, ("N", 4))],
        [port("y", TensorProto.FLOAT, ("N", 4))],
        {
            "widen": widen,
            "narrow": np.ascontiguousarray(widen.T),
            "unit": np.eye(256, dtype=np.float32),
            "count": np.array(iterations, np.int64),
        },
    )


def failing() -> onnx.ModelProto:
    """Loads, then fails at every run, whatever the input: reshapes ``x[N,4]`` to seven elements."""
    return build(
        [
            helper.make_node("Concat", ["x", "x"], ["double"], axis=1),
            helper.make_node("Reshape", ["double", "seven"], ["y"]),
        ],
        [port("x", TensorProto.FLOAT, ("N", 4))],
        [port("y", TensorProto.FLOAT, ("K",))],
        {"seven": np.array([7], np.int64)},
    )


def unknown_operator() -> onnx.ModelProto:
    """A valid file that no runtime can load: its operator exists nowhere."""
    return build(
        [helper.make_node("Telepathy", ["x"], ["y"], domain="org.nowhere")],
        [port("x", TensorProto.FLOAT, ("N", 1))],
        [port("y", TensorProto.FLOAT, ("N", 1))],
    )


def external(location: str, length_bytes: int = 48) -> onnx.ModelProto:
    """``linear`` whose weights lie in another file, named ``location`` as given (hostile or not)."""
    model = linear()
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(length_bytes))):
        tensor.external_data.add(key=key, value=value)
    return model


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Mapping[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    """A model of one graph; ``constants`` become initialisers."""
    initializers = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), initializers)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    opsets += [helper.make_opsetid(domain, 1) for domain in {node.domain for node in nodes} - {"", "ai.onnx.ml"}]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def port(name: str, kind: int, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def _state(name: str) -> onnx.ValueInfoProto:
    return port(name, TensorProto.FLOAT, ("N", 256))
