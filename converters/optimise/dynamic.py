"""Dynamic int8: weights are stored as int8, activations are quantised at each run by the range that they have
then.

For matrix products and recurrent layers; never for convolutions, whose dynamic kernels are slow. Needs no
calibration.
"""

from __future__ import annotations

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from rapide.converters.optimise.contract import Bench, Made, NotApplicable
from rapide.converters.optimise.int8 import full_range, needed_flags
from rapide.converters.optimise.traits import PRODUCTS, RECURRENT

_OPERATORS = ("MatMul", "LSTM", "Attention", "EmbedLayerNormalization")
"""A Gemm becomes a MatMul and an Add on the way."""


def make(bench: Bench, *, gather: bool) -> Made:
    """Raises NotApplicable for a graph without a layer that this is for."""
    traits = bench.traits
    if not traits.has(PRODUCTS | RECURRENT):
        why = (
            traits.why_no_kernel
            or "dynamic int8 is for matrix products and recurrent layers; convolutions are slow so"
        )
        raise NotApplicable(why)
    if gather and "Gather" not in traits.operators:
        raise NotApplicable("there is no embedding table: the graph has no Gather")
    path = bench.folder / "dynamic.onnx"
    quantize_dynamic(
        onnx.shape_inference.infer_shapes(bench.clean),
        path,
        op_types_to_quantize=[*_OPERATORS, *(["Gather"] if gather else [])],
        per_channel=True,
        reduce_range=not full_range(bench.flags),
        weight_type=QuantType.QInt8,
    )
    model = onnx.load_model(path)
    path.unlink()
    if not any(
        node.op_type in ("MatMulInteger", "DynamicQuantizeLSTM", "QAttention") for node in model.graph.node
    ):
        raise NotApplicable("no matrix product has constant weights: there is nothing to store as int8")
    options = {"per_channel": True, "gather": gather, "weight_bits": 8 if full_range(bench.flags) else 7}
    return Made(model, options, needed_flags(bench.flags))
