"""Dynamic int8: weights are stored as int8, activations are quantised at each run by the range that they have
then.

For matrix products and recurrent layers; never for convolutions, whose dynamic kernels are slow. Calibration rows
serve to find the layers that are better left in float, if there must be some.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import ModelProto
from onnxruntime.quantization import QuantType, quantize_dynamic

from rapide.converters.optimise.contract import Bench, Made, NotApplicable
from rapide.converters.optimise.exclusion import nearest
from rapide.converters.optimise.int8 import full_range, needed_flags
from rapide.converters.optimise.traits import PRODUCTS, RECURRENT

_OPERATORS = ("MatMul", "LSTM", "Attention", "EmbedLayerNormalization")
"""A Gemm becomes a MatMul and an Add on the way."""
_QUANTISED = frozenset({"MatMulInteger", "DynamicQuantizeLSTM", "QAttention"})


def make(bench: Bench, *, gather: bool) -> Made:
    """Raises NotApplicable for a graph without a layer that this is for."""
    traits = bench.traits
    if not traits.has(PRODUCTS | RECURRENT):
        raise NotApplicable(
            traits.why_no_kernel
            or "dynamic int8 is for matrix products and recurrent layers: convolutions are slow so"
        )
    if gather and "Gather" not in traits.operators:
        raise NotApplicable("there is no embedding table: the graph has no Gather")

    def build(excluded: Sequence[str]) -> ModelProto:
        return _quantised(bench, [*_OPERATORS, *(["Gather"] if gather else [])], excluded)

    if not any(node.op_type in _QUANTISED for node in build(()).graph.node):
        raise NotApplicable("no matrix product has constant weights: there is nothing to store as int8")
    found = nearest(bench, build, static=False)
    options = {"per_channel": True, "weight_bits": 8 if full_range(bench.flags) else 7}
    if found.excluded:
        options |= {"float_layers": len(found.excluded), "layers": found.layers}
    return Made(found.model, options, needed_flags(bench.flags))


def _quantised(bench: Bench, operators: list[str], excluded: Sequence[str]) -> ModelProto:
    path = bench.folder / "dynamic.onnx"
    quantize_dynamic(
        onnx.shape_inference.infer_shapes(bench.clean),
        path,
        op_types_to_quantize=operators,
        per_channel=True,
        reduce_range=not full_range(bench.flags),
        weight_type=QuantType.QInt8,
        nodes_to_exclude=list(excluded),
    )
    model = onnx.load_model(path)
    path.unlink()
    return model
