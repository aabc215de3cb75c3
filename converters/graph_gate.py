"""The first gate: a graph that is whole, of known operators, self-contained and of bounded size.

The graph was written by a process that ran foreign code, so it is read as a stranger's file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

from rapide.converters.errors import GateRefused

GATE = "graph"
MAX_MODEL_BYTES = 2**31 - 1
"""Protobuf's own bound for one message."""
MAX_NODES = 200_000
"""A forest is one node; a graph of this size would take minutes to load."""
MAX_DEPTH = 8
"""Of loop bodies within loop bodies; onnxruntime recurses."""
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
CONTRIBUTED = frozenset({("com.microsoft", "Tokenizer")})
"""Operators that onnxruntime brings along: all of the standard, and of its own those that conversions use.
Anything else might need a library to be loaded, which is refused."""


def read_graph(path: Path) -> ModelProto:
    """The model at ``path``. Raises GateRefused, saying what is wrong, for one that may not be published."""
    size = path.stat().st_size
    if size > MAX_MODEL_BYTES:
        raise GateRefused(GATE, f"the graph has {size} bytes; the limit is {MAX_MODEL_BYTES}")
    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise GateRefused(GATE, "the graph cannot be read as ONNX") from error
    nodes = 0
    for graph, depth in _graphs(model.graph, 1):
        nodes += len(graph.node)
        if depth > MAX_DEPTH:
            raise GateRefused(GATE, f"the graph nests more than {MAX_DEPTH} loops or branches")
        _check_graph(graph)
    if nodes > MAX_NODES:
        raise GateRefused(GATE, f"the graph has {nodes} nodes; the limit is {MAX_NODES}")
    if model.functions:
        raise GateRefused(GATE, "the graph defines functions of its own, which are not published")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise GateRefused(GATE, f"onnx.checker refuses the graph: {str(error).splitlines()[0][:300]}") from error
    return model


def _graphs(graph: GraphProto, depth: int) -> Iterator[tuple[GraphProto, int]]:
    yield graph, depth
    if depth > MAX_DEPTH:
        return
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _graphs(attribute.g, depth + 1)
            for inner in attribute.graphs:
                yield from _graphs(inner, depth + 1)


def _check_graph(graph: GraphProto) -> None:
    for node in graph.node:
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in CONTRIBUTED:
            raise GateRefused(
                GATE, f"the graph uses operator {node.op_type!r} of domain {node.domain!r}, which is not allowed"
            )
        for attribute in node.attribute:
            _check_tensors([attribute.t, *attribute.tensors])
    _check_tensors(list(graph.initializer))


def _check_tensors(tensors: list[TensorProto]) -> None:
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise GateRefused(GATE, f"the weights {tensor.name!r} lie outside of the graph's file")
