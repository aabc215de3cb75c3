"""Which layers a quantised graph does without, so that it stays near the original: those that int8 hurts most.

Theory. Of every layer with constant weights the error that int8 would add is computed on real activations: the
calibration rows are run through the float graph with the layers' inputs as extra outputs; each layer is then run
alone twice, with its inputs and weights as they are, and rounded as the quantised kernel would. Its error is how
far the second answer is from the first, relative to it. The layers with the greatest error are left in float,
more of them step by step, until the graph is near enough. All on calibration rows: what is judged afterwards is
other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from rapide.converters.optimise.arrays import decoded
from rapide.converters.optimise.contract import Bench
from rapide.converters.optimise.loss import losses
from rapide.converters.optimise.traits import CONVOLUTIONS, PRODUCTS
from rapide.server.tensors import Array

_ROWS = 48
"""Rows that the errors of layers are computed on."""
_JUDGED_ROWS = 256
_ROOM = 0.7
"""Aimed at: this part of the limit, since other rows may be worse."""
_OPSET = 21
"""Of a layer alone; what products and convolutions compute has not changed since long before."""
_STEPS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)


@dataclass(frozen=True, slots=True)
class Found:
    """The graph, the layers that stayed float, and the loss on calibration rows as a part of its limit."""

    model: ModelProto
    excluded: tuple[str, ...]
    layers: int
    strain: float


def nearest(bench: Bench, build: Callable[[Sequence[str]], ModelProto], *, static: bool) -> Found:
    """The first graph of ``build(names of layers to leave float)`` that is near enough, with as few left as need
    be; the nearest, if none is before half of the layers are left."""
    layers = [node for node in bench.clean.graph.node if _weights(node, _constants(bench.clean)) is not None]
    expected = _run(bench.clean, bench, _JUDGED_ROWS)
    best: Found | None = None
    ranked: list[str] = []
    for step in _STEPS:
        if step > len(layers) // 2:
            break
        if step == 1:
            ranked = _worst_first(bench, layers, static=static)
        model = build(ranked[:step])
        strain = _strain(bench, expected, _run(model, bench, _JUDGED_ROWS))
        found = Found(model, tuple(ranked[:step]), len(layers), strain)
        if best is None or strain < best.strain:
            best = found
        if strain <= _ROOM:
            break
    if best is None:
        raise AssertionError("the first step leaves nothing out")
    return best


def _strain(bench: Bench, expected: Mapping[str, Array], answered: Mapping[str, Array]) -> float:
    found = losses(expected, answered)
    return max(
        (loss.loss / max(bench.max_loss[loss.measure], 1e-12) for loss in found if np.isfinite(loss.loss)),
        default=float("inf"),
    )


def _worst_first(bench: Bench, layers: Sequence[NodeProto], *, static: bool) -> list[str]:
    constants = _constants(bench.clean)
    inputs = sorted({node.input[0] for node in layers})
    given = set(bench.calibration)
    activations = {name: bench.calibration[name][:_ROWS] for name in inputs if name in given} | _run(
        bench.clean, bench, _ROWS, [name for name in inputs if name not in given and name not in constants]
    )
    errors = {}
    for node in layers:
        weights = _weights(node, constants)
        values = activations.get(node.input[0])
        if weights is None or values is None:
            continue
        rounded = _rounded_activations(values, static=static), _rounded_weights(weights, _channel_axis(node))
        errors[node.name] = _relative(_alone(node, *rounded), _alone(node, values, weights))
    return sorted(errors, key=lambda name: -errors[name])


def _alone(node: NodeProto, values: Array, weights: Array) -> Array:
    """What the layer answers without its bias."""
    single = helper.make_node(node.op_type, ["values", "weights"], ["answer"])
    single.attribute.extend(attribute for attribute in node.attribute if attribute.name != "beta")
    graph = helper.make_graph(
        [single],
        "layer",
        [_port("values", values.ndim), _port("weights", weights.ndim)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)
    (answer,) = _session(model).run(["answer"], {"values": values, "weights": weights})
    return np.asarray(answer)


def _port(name: str, dimensions: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * dimensions)


def _rounded_activations(values: Array, *, static: bool) -> Array:
    """Rounded to 256 steps: over the range of all rows, or (dynamic) over that of each run, here of one row."""
    flat = values.astype(np.float64).reshape(1 if static else len(values), -1)
    low = np.minimum(flat.min(axis=1, keepdims=True), 0.0)
    high = np.maximum(flat.max(axis=1, keepdims=True), 0.0)
    step = np.where(high > low, (high - low) / 255, 1.0)
    return (np.round(flat / step) * step).reshape(values.shape).astype(np.float32)


def _rounded_weights(weights: Array, axis: int) -> Array:
    """Rounded to 255 symmetric steps for each output channel."""
    values = weights.astype(np.float64)
    others = tuple(index for index in range(values.ndim) if index != axis)
    most = np.abs(values).max(axis=others, keepdims=True)
    step = np.where(most > 0, most / 127, 1.0)
    return (np.round(values / step) * step).astype(np.float32)


def _relative(rounded: Array, values: Array) -> float:
    norm = float(np.linalg.norm(values))
    return float(np.linalg.norm(rounded - values)) / norm if norm else 0.0


def _channel_axis(node: NodeProto) -> int:
    if node.op_type in CONVOLUTIONS:
        return 0
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if transposed else 1


def _constants(model: ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def _weights(node: NodeProto, constants: Mapping[str, onnx.TensorProto]) -> Array | None:
    """The constant weights of a layer that can be quantised; None for any other node."""
    if node.op_type not in PRODUCTS | CONVOLUTIONS or node.input[1] not in constants:
        return None
    array: Array = numpy_helper.to_array(constants[node.input[1]])
    return array if array.ndim >= 2 else None


def _run(model: ModelProto, bench: Bench, rows: int, values: Sequence[str] | None = None) -> dict[str, Array]:
    """The answers (or inner ``values``) of ``model`` to calibration rows."""
    names = [spec.name for spec in bench.signature.outputs] if values is None else list(values)
    if not names:
        return {}
    if values is not None:
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        del shown.graph.output[:]
        shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        model = shown
    answers = _session(model).run(names, {name: array[:rows] for name, array in bench.calibration.items()})
    return {name: decoded(array) for name, array in zip(names, answers, strict=True)}


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
