"""Static int8: activations are quantised by ranges that were found beforehand, on calibration rows.

For convolutions, and for networks of plain matrix products. The graph keeps its operators between QuantizeLinear
and DequantizeLinear, which the runtime fuses into int8 kernels when it loads it (QDQ). Three ways to choose a
range: ``minmax`` takes all that occurred, ``percentile`` leaves out the most extreme values, ``entropy`` takes
the range whose histogram loses least information.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from rapide.converters.optimise.contract import Bench, Made, NotApplicable
from rapide.converters.optimise.exclusion import nearest
from rapide.converters.optimise.int8 import full_range, needed_flags
from rapide.converters.optimise.traits import CONVOLUTIONS, PRODUCTS
from rapide.server.tensors import Array

_OPERATORS = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Relu",
    "Reshape",
    "Transpose",
)
"""Layers, and what can pass int8 on between them."""
_NORMALISATIONS = frozenset({"LayerNormalization", "SimplifiedLayerNormalization", "SkipLayerNormalization"})
_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
_CHUNK_ROWS = 32
_MOST_ROWS = 256
"""The histograms of all activations are held in memory until the last row was seen."""


def make(bench: Bench, *, calibration: str) -> Made:
    """Raises NotApplicable for a graph without layers that this is for."""
    traits = bench.traits
    if not traits.has(CONVOLUTIONS | PRODUCTS):
        raise NotApplicable(traits.why_no_kernel or "static int8 is for convolutions and matrix products")
    if traits.has(_NORMALISATIONS) and not traits.has(CONVOLUTIONS):
        raise NotApplicable("the activations of a transformer have no fixed ranges: dynamic int8 is for it")
    graph = onnx.shape_inference.infer_shapes(bench.clean)
    _flatten_biases(graph)
    ranges = _ranges(bench, graph, calibration)

    def build(excluded: Sequence[str]) -> ModelProto:
        copy = onnx.ModelProto()
        copy.CopyFrom(graph)
        quantiser = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=not full_range(bench.flags),
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=list(excluded),
            op_types_to_quantize=list(_OPERATORS),
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
        quantiser.quantize_model()
        quantiser.model.topological_sort()
        quantised: ModelProto = quantiser.model.model
        return quantised

    found = nearest(bench, build, static=True)
    options: dict[str, Any] = {
        "per_channel": True,
        "calibration": calibration,
        "weight_bits": 8 if full_range(bench.flags) else 7,
    }
    if found.excluded:
        options |= {"float_layers": len(found.excluded), "layers": found.layers}
    return Made(found.model, options, needed_flags(bench.flags), note=_left_over(found.model, bench))


def _flatten_biases(model: ModelProto) -> None:
    """Biases of shape [1, N] become [N], which means the same to a Gemm: the quantiser knows no other."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers = [name for node in model.graph.node for name in node.input]
    for node in model.graph.node:
        bias = constants.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
        if bias is not None and len(bias.dims) == 2 and bias.dims[0] == 1 and readers.count(bias.name) == 1:
            bias.dims[:] = [bias.dims[1]]


def _ranges(bench: Bench, graph: ModelProto, method: str) -> Any:
    before, after = bench.folder / "float.onnx", bench.folder / "augmented.onnx"
    onnx.save_model(graph, before)
    calibrator = create_calibrator(
        str(before), list(_OPERATORS), augmented_model_path=str(after), calibrate_method=_METHODS[method]
    )
    calibrator.collect_data(_Reader(bench))
    ranges = calibrator.compute_data()
    del calibrator
    before.unlink()
    after.unlink(missing_ok=True)
    return ranges


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Calibration rows, some at a time."""

    def __init__(self, bench: Bench) -> None:
        self._chunks = self._cut(bench)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._chunks, None)

    def _cut(self, bench: Bench) -> Iterator[dict[str, Array]]:
        rows = min(_MOST_ROWS, len(next(iter(bench.calibration.values()))))
        # Chunks of one size: histograms of activations are compared shape by shape.
        for start in range(0, rows - _CHUNK_ROWS + 1, _CHUNK_ROWS) if rows >= _CHUNK_ROWS else [0]:
            yield {
                name: np.ascontiguousarray(array[start : start + _CHUNK_ROWS])
                for name, array in bench.calibration.items()
            }


def _left_over(model: ModelProto, bench: Bench) -> str:
    """How many conversions the runtime could not fuse into int8 kernels: each costs time."""
    path = bench.folder / "fused.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    fused = onnx.load_model(path)
    path.unlink()
    made, left = (
        sum(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in each.graph.node)
        for each in (model, fused)
    )
    return f"{left} of {made} conversions to and from int8 are left after fusion"
