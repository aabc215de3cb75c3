"""Graph clean-up: what computes nothing, or the same thing twice, goes. Exact: the answers stay the same to the
bit.

Unused outputs (a ZipMap hangs on one: no signature can name its maps) and all that only they need; identities;
casts to the type that a value has already, and widening casts that are undone at once; equal subexpressions;
constants that can be computed beforehand. The last is done by the runtime's own basic level, which rewrites
nothing for a particular processor: the runtime would do it at every load otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto

from rapide.converters.optimise.contract import Bench, Made, NotApplicable
from rapide.converters.surgery import remove_unused, reread

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
"""Operators that answer differently each time, so that two of them are never one."""
_WIDER: Mapping[int, frozenset[int]] = {
    TensorProto.BOOL: frozenset({TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT, TensorProto.DOUBLE}),
    TensorProto.INT32: frozenset({TensorProto.INT64, TensorProto.DOUBLE}),
    TensorProto.FLOAT16: frozenset({TensorProto.FLOAT, TensorProto.DOUBLE}),
    TensorProto.BFLOAT16: frozenset({TensorProto.FLOAT, TensorProto.DOUBLE}),
    TensorProto.FLOAT: frozenset({TensorProto.DOUBLE}),
}
"""Type → types that hold every one of its values: a cast there loses nothing."""


def make(bench: Bench) -> Made:
    """The graph after clean-up. Raises NotApplicable where there was nothing to clean."""
    if not bench.cleaned["changes"]:
        raise NotApplicable("there is nothing to clean up")
    return Made(bench.clean, dict(bench.cleaned["changes"]))


def clean(model: ModelProto, outputs: list[str], folder: Path) -> tuple[ModelProto, dict[str, Any]]:
    """A cleaned copy of ``model`` that answers ``outputs``, and what was done: ``changes`` (what → how often) and
    ``nodes`` before and after."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    changes = {"outputs": _drop_outputs(copy, set(outputs))}
    before = len(model.graph.node)
    remove_unused(copy)
    changes["unused nodes and identities"] = before - len(copy.graph.node)
    changes["casts"] = changes["equal subexpressions"] = 0
    while (casts := _skip_casts(copy)) + (merged := _merge_equal(copy)):
        changes["casts"] += casts
        changes["equal subexpressions"] += merged
        remove_unused(copy)
    left = len(copy.graph.node)
    copy = _folded(copy, folder)
    changes["folded or fused by the runtime"] = max(0, left - len(copy.graph.node))
    _name_nodes(copy)
    return copy, {
        "nodes": [before, len(copy.graph.node)],
        "changes": {what: number for what, number in changes.items() if number},
    }


def _drop_outputs(model: ModelProto, wanted: set[str]) -> int:
    kept = [value for value in model.graph.output if value.name in wanted]
    dropped = len(model.graph.output) - len(kept)
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return dropped


def _skip_casts(model: ModelProto) -> int:
    """Lets the readers of a cast that changes nothing read what was cast."""
    types = _types(model)
    made_by = {name: node for node in model.graph.node for name in node.output}
    outputs = {value.name for value in model.graph.output}
    skipped: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type != "Cast" or node.output[0] in outputs:
            continue
        source = _uncast(node, made_by, types)
        if source:
            skipped[node.output[0]] = skipped.get(source, source)
    reread(model.graph, skipped)
    return len(skipped)


def _uncast(node: NodeProto, made_by: Mapping[str, NodeProto], types: Mapping[str, int]) -> str:
    """The value that equals what ``node`` casts to; empty if there is none."""
    to = types.get(node.output[0])
    given = node.input[0]
    if to is None:
        return ""
    if types.get(given) == to:
        return given
    before = made_by.get(given)
    if before is None or before.op_type != "Cast":
        return ""
    first = types.get(before.input[0])
    was_widened = first is not None and types.get(given) in _WIDER.get(first, frozenset())
    return before.input[0] if was_widened and first == to else ""


def _types(model: ModelProto) -> dict[str, int]:
    """Value → element type, as far as inference knows."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=False)
    values = (*inferred.graph.input, *inferred.graph.output, *inferred.graph.value_info)
    types = {
        value.name: value.type.tensor_type.elem_type for value in values if value.type.HasField("tensor_type")
    }
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {name: kind for name, kind in types.items() if kind != TensorProto.UNDEFINED}


def _merge_equal(model: ModelProto) -> int:
    """Lets the readers of a node's outputs read those of an equal node before it."""
    outputs = {value.name for value in model.graph.output}
    seen: dict[tuple[object, ...], NodeProto] = {}
    merged: dict[str, str] = {}
    for node in model.graph.node:
        bodies = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        if node.op_type in _RANDOM or bodies or outputs & set(node.output):
            continue
        inputs = tuple(merged.get(name, name) for name in node.input)
        attributes = tuple(sorted(attribute.SerializeToString(deterministic=True) for attribute in node.attribute))
        key = (node.domain, node.op_type, inputs, attributes, len(node.output))
        first = seen.setdefault(key, node)
        if first is not node:
            merged.update(zip(node.output, first.output, strict=True))
    reread(model.graph, merged)
    return len(merged)


def _folded(model: ModelProto, folder: Path) -> ModelProto:
    path = folder / "folded.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    folded = onnx.load_model(path)
    path.unlink()
    _keep_face(folded, model)
    return folded


def _keep_face(model: ModelProto, before: ModelProto) -> None:
    """What the runtime writes is its own affair inside; names, shapes and versions outside stay as published."""
    del model.graph.input[:]
    model.graph.input.extend(before.graph.input)
    del model.graph.output[:]
    model.graph.output.extend(before.graph.output)
    model.graph.name = before.graph.name
    model.producer_name = before.producer_name
    model.producer_version = before.producer_version
    used = {node.domain for node in model.graph.node} | {""}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)


def _name_nodes(model: ModelProto) -> None:
    """Quantisers speak of nodes by name; exporters often give none."""
    for position, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}:{position}"
