"""The first gate: a graph that is whole, of known operators, self-contained and of bounded size.

The graph was written by a process that ran foreign code, so it is read as a stranger's file: the server's own
rules (``graph_rules.py``) hold it to bounds, and onnx's checker to the standard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import onnx
from onnx import GraphProto, ModelProto

from rapide.converters.errors import GateRefused
from rapide.server.errors import BrokenVersion
from rapide.server.model.external_data import check_external_data
from rapide.server.model.graph_rules import (
    check_graph,
    is_outside,
    places_outside,
    read_outline,
    tensors_of,
)
from rapide.server.repository.shells import shell_of

GATE = "graph"
MAX_MODEL_BYTES = 2**31 - 1
"""Protobuf's own bound for one message."""
_TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")


def check_foreign(path: Path) -> None:
    """Raises GateRefused for a file from elsewhere that nobody should open, not even to convert it: it breaks the
    bounds, or its weights are not beside it."""
    _check_file(path)
    try:
        outline = read_outline(path.read_bytes())
        check_graph(outline)
        check_external_data(list(places_outside(outline)), path.parent, None)
    except BrokenVersion as error:
        raise GateRefused(GATE, f"{path.name} may not be opened: {error.message}") from error


def read_graph(path: Path) -> ModelProto:
    """The model at ``path``. Raises GateRefused, saying what is wrong, for one that may not be published."""
    _check_file(path)
    content = path.read_bytes()
    _check_bounds(content)
    model = onnx.load_model_from_string(content)
    for tensor in tensors_of(cast("Any", model)):
        if is_outside(tensor):
            raise GateRefused(GATE, f"the weights {tensor.name!r} lie outside of the graph's file")
    _check_standard(model)
    return model


def _check_bounds(content: bytes) -> None:
    try:
        check_graph(read_outline(content))
    except BrokenVersion as error:
        raise GateRefused(GATE, f"the graph may not be published: {error.message}") from error


def _check_file(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_MODEL_BYTES:
        raise GateRefused(GATE, f"the graph has {size} bytes; the limit is {MAX_MODEL_BYTES}")
    with path.open("rb") as file:
        shell = shell_of(file.read(16))
    if shell:
        raise GateRefused(GATE, f"the file is {shell}, no ONNX model")


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
