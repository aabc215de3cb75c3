"""The graph as the runtime rewrites it for this processor at load, written down: it loads faster and runs as fast.

Layouts and fused kernels belong to the processor and to the version of the runtime, so that such a variant is
loaded on processors with the same instruction sets alone.
"""

from __future__ import annotations

import onnx
import onnxruntime

from rapide.converters.optimise.contract import Bench, Made
from rapide.server.machine import INSTRUCTION_SETS


def make(bench: Bench) -> Made:
    """The graph after all of the runtime's rewriting."""
    path = bench.folder / "offline-all.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    onnxruntime.InferenceSession(bench.clean.SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = onnx.load_model(path)
    path.unlink()
    flags = tuple(flag for flag in INSTRUCTION_SETS if flag in bench.flags)
    return Made(model, {"onnxruntime": onnxruntime.__version__}, flags)
