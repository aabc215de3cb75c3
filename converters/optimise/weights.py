"""Weight-only quantisation: weights in blocks of int8 or int4 with a scale each; activations stay float32, and are
rounded to int8 inside the kernel (MatMulNBits, accuracy level 4). For large matrix products."""

from __future__ import annotations

from onnx import ModelProto

from rapide.converters.optimise.contract import Bench, Made, NotApplicable
from rapide.converters.optimise.traits import PRODUCTS

_BLOCK = 32
_ACCURACY_LEVEL = 4
"""int8 products: what VNNI is for."""
_LEAST_BYTES = 200_000
"""Of float weights; small products spend their time elsewhere."""


def make(bench: Bench, *, bits: int) -> Made:
    """Raises NotApplicable for a graph without large matrix products."""
    if not bench.traits.has(PRODUCTS):
        raise NotApplicable(bench.traits.why_no_kernel or "weight-only kernels exist for matrix products alone")
    if bench.traits.float_weight_bytes < _LEAST_BYTES:
        raise NotApplicable(
            f"its constants take {bench.traits.float_weight_bytes / 1000:.0f} kB: "
            "weight-only kernels are for large matrix products"
        )
    try:
        from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415 - see below
            MatMulNBitsQuantizer,
        )
    except ImportError as error:  # it needs onnx_ir, which nothing else here does
        raise NotApplicable(f"the quantiser needs {error.name}: pip install {error.name}") from error
    model = _with_products(bench.clean)
    quantiser = MatMulNBitsQuantizer(
        model, bits=bits, block_size=_BLOCK, is_symmetric=True, accuracy_level=_ACCURACY_LEVEL
    )
    quantiser.process()
    made: ModelProto = quantiser.model.model
    count = sum(node.op_type == "MatMulNBits" for node in made.graph.node)
    if not count:
        raise NotApplicable("no matrix product has constant weights of two dimensions")
    return Made(made, {"bits": bits, "block": _BLOCK, "accuracy_level": _ACCURACY_LEVEL})


def _with_products(model: ModelProto) -> ModelProto:
    """A copy whose Gemms are MatMuls and Adds, which is what the quantiser knows."""
    from onnxruntime.quantization.onnx_model import ONNXModel  # noqa: PLC0415 - as above

    copy = ModelProto()
    copy.CopyFrom(model)
    wrapped = ONNXModel(copy)
    wrapped.replace_gemm_with_matmul()
    replaced: ModelProto = wrapped.model
    return replaced
