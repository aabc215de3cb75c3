"""The first gate: a graph that is whole, of known operators, self-contained and of bounded size.

The graph was written by a process that ran foreign code, so it is read as a stranger's file: the server's own
rules (``graph_rules.py``) hold it to bounds, and onnx's checker to the standard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto

from rapide.converters.errors import GateRefused
from rapide.server.errors import BrokenVersion
from rapide.server.model.graph_rules import GraphFigures, check_graph, is_outside, tensors_of
from rapide.server.repository.shells import shell_of

GATE = "graph"
MAX_MODEL_BYTES = 2**31 - 1
"""Protobuf's own bound for one message."""
_TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


def read_graph(path: Path) -> ModelProto:
    """The model at ``path``. Raises GateRefused, saying what is wrong, for one that may not be published."""
    size = path.stat().st_size
    if size > MAX_MODEL_BYTES:
        raise GateRefused(GATE, f"the graph has {size} bytes; the limit is {MAX_MODEL_BYTES}")
    with path.open("rb") as file:
        shell = shell_of(file.read(16))
    if shell:
        raise GateRefused(GATE, f"the file is {shell}, no ONNX model")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise GateRefused(GATE, "the graph cannot be read as ONNX") from error
    check(model)
    return model


def check(model: Any) -> GraphFigures:
    """What was counted in ``model``, a ModelProto. Raises GateRefused, with figure and limit, for what may not be
    published."""
    try:
        figures = check_graph(model)
    except BrokenVersion as error:
        raise GateRefused(GATE, f"the graph may not be published: {error.message}") from error
    for tensor in tensors_of(model):
        if is_outside(tensor):
            raise GateRefused(GATE, f"the weights {tensor.name!r} lie outside of the graph's file")
    _check_standard(model)
    return figures


def _check_standard(model: ModelProto) -> None:
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GateRefused(GATE, f"onnx.checker refuses the graph: {str(error).splitlines()[0][:300]}") from error
    _check_trees(inferred.graph)


def _check_trees(graph: GraphProto) -> None:
    """The runtime reads the feature that a tree names without looking whether the row is so long."""
    values = (*graph.input, *graph.value_info)
    widths = {value.name: _width(value) for value in values}
    widths |= {tensor.name: tensor.dims[-1] for tensor in graph.initializer if tensor.dims}
    for node in graph.node:
        if node.op_type in _TREES:
            width = widths.get(node.input[0])
            highest = max(_ints(node, "nodes_featureids"), default=0)
            if width is not None and highest >= width:
                raise GateRefused(
                    GATE,
                    f"a tree of the graph looks at feature {highest}, but its rows have {width} (counted from 0)",
                )


def _width(value: Any) -> int | None:
    dims = value.type.tensor_type.shape.dim
    return dims[-1].dim_value if dims and dims[-1].HasField("dim_value") else None


def _ints(node: Any, name: str) -> Iterator[int]:
    return (number for attribute in node.attribute if attribute.name == name for number in attribute.ints)
