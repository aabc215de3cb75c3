"""Half-precision storage: constants are kept as float16 or bfloat16 and widened when the graph is loaded.

The processor computes in float32 all the same: the file becomes half as large, nothing becomes faster. float16
has ten bits of precision and ends at 65504; bfloat16 has seven bits and float32's range.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rapide.converters.optimise.contract import Bench, Made, NotApplicable

_LEAST_ELEMENTS = 1024
"""A smaller constant would save less than the node that widens it costs."""
_LEAST_BYTES = 100_000
_FORMATS = {
    "float16": (np.dtype(np.float16), TensorProto.FLOAT16),
    "bfloat16": (np.dtype(ml_dtypes.bfloat16), TensorProto.BFLOAT16),
}


def make(bench: Bench, *, number: str) -> Made:
    """Raises NotApplicable where constants are few, or too large for the format."""
    if bench.traits.float_weight_bytes < _LEAST_BYTES:
        raise NotApplicable(
            f"its constants take {bench.traits.float_weight_bytes / 1000:.0f} kB: there is nothing to save"
        )
    dtype, kind = _FORMATS[number]
    model = onnx.ModelProto()
    model.CopyFrom(bench.clean)
    graph = model.graph
    casts = []
    for position, tensor in enumerate(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LEAST_ELEMENTS:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            narrow = values.astype(dtype)
        if not np.array_equal(np.isfinite(narrow.astype(np.float32)), np.isfinite(values)):
            raise NotApplicable(f"{tensor.name!r} holds numbers beyond {number}'s range")
        stored = f"{number}:{position}"
        casts.append(
            helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT, name=f"Cast:{stored}")
        )
        replacement = helper.make_tensor(stored, kind, tensor.dims, narrow.tobytes(), raw=True)
        tensor.CopyFrom(replacement)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *rest])
    return Made(model, {"stored": number})
