"""Gives a converted graph the face that the manifest describes: names, types and shapes of inputs and outputs.

Every source's converter calls its inputs and outputs as it likes; here they get the trainer's column names,
integers and booleans enter as such, labels come out as [N], numbers as [N, columns], and what nobody asked for is
removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from rapide.converters.columns import PACKED_INPUT, Column, Precision
from rapide.server.signature import DataType

BATCH = "N"
"""The name of the dynamic first dimension."""
ONNX_TYPES: dict[DataType, int] = {
    DataType.BOOL: TensorProto.BOOL,
    DataType.UINT8: TensorProto.UINT8,
    DataType.UINT16: TensorProto.UINT16,
    DataType.UINT32: TensorProto.UINT32,
    DataType.UINT64: TensorProto.UINT64,
    DataType.INT8: TensorProto.INT8,
    DataType.INT16: TensorProto.INT16,
    DataType.INT32: TensorProto.INT32,
    DataType.INT64: TensorProto.INT64,
    DataType.FP16: TensorProto.FLOAT16,
    DataType.BF16: TensorProto.BFLOAT16,
    DataType.FP32: TensorProto.FLOAT,
    DataType.FP64: TensorProto.DOUBLE,
    DataType.BYTES: TensorProto.STRING,
}
DATATYPES: dict[int, DataType] = {onnx_type: datatype for datatype, onnx_type in ONNX_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Face:
    """What one output is to look like. ``width`` None: [N]; else [N, width].

    ``position``: which of the graph's outputs it is. ``take``: the only column to keep of it, if not all.
    ``names``: texts that integer labels are turned into.
    """

    name: str
    position: int
    width: int | None
    onnx_type: int
    take: int | None = None
    names: tuple[tuple[int, str], ...] = ()


def rename_inputs(model: ModelProto, columns: Sequence[Column], precision: Precision) -> None:
    """Inputs ``c0``, ``c1``, … get their columns' names and types, in place."""
    graph = model.graph
    hide_inner_names(graph)
    if columns[0].packed_at is not None:
        column_type = ONNX_TYPES[columns[0].datatype(precision)]
        del graph.input[:]
        graph.input.append(helper.make_tensor_value_info(PACKED_INPUT, column_type, [BATCH, len(columns)]))
        return
    by_name = {value.name: value for value in graph.input}
    casts = []
    inputs = []
    for position, column in enumerate(columns):
        inner = f"c{position}"
        wanted = ONNX_TYPES[column.datatype(precision)]
        inputs.append(helper.make_tensor_value_info(column.input, wanted, [BATCH, 1]))
        inner_type = by_name[inner].type.tensor_type.elem_type if inner in by_name else wanted
        if inner_type == wanted:
            casts.append(helper.make_node("Identity", [column.input], [f"given:{position}"]))
        else:
            casts.append(helper.make_node("Cast", [column.input], [f"given:{position}"], to=inner_type))
    rename_values(graph, {f"c{position}": f"given:{position}" for position in range(len(columns))})
    del graph.input[:]
    graph.input.extend(inputs)
    _prepend(graph, casts)


def shape_outputs(model: ModelProto, faces: Sequence[Face]) -> None:
    """Keeps and shapes the outputs in ``faces``, in place; all others are removed with what only they need."""
    graph = model.graph
    old = [value.name for value in graph.output]
    del graph.output[:]
    for face in faces:
        current = old[face.position]
        current = _taken(graph, face, current)
        current = _named(graph, face, current)
        shape = [-1] if face.width is None else [-1, face.width]
        graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"shape:{face.name}"))
        graph.node.append(helper.make_node("Reshape", [current, f"shape:{face.name}"], [face.name]))
        dimensions: list[str | int] = [BATCH] if face.width is None else [BATCH, face.width]
        graph.output.append(helper.make_tensor_value_info(face.name, face.onnx_type, dimensions))
    remove_unused(model)
    if any(face.names for face in faces):
        _require_opset(model, "ai.onnx.ml", 3)


def stamp(model: ModelProto, producer: str) -> None:
    """What is not computation is made the same for the same model, so that its digest is too."""
    model.graph.name = "rapide"
    model.producer_name = producer
    model.producer_version = ""
    model.doc_string = ""
    model.graph.doc_string = ""
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    copied = [helper.make_opsetid(opset.domain, opset.version) for opset in opsets]
    del model.opset_import[:]
    model.opset_import.extend(copied)


def forget_origins(model: ModelProto) -> None:
    """Removes what an exporter notes for people who debug it, in place: stack traces with paths of the machine
    that it ran on, among other things."""
    model.ClearField("metadata_props")
    graph = model.graph
    graph.ClearField("metadata_props")
    del graph.value_info[:]
    for each in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    for node in graph.node:
        for body in _bodies(node):
            for inner in body.node:
                inner.ClearField("metadata_props")
                inner.ClearField("doc_string")


def _require_opset(model: ModelProto, domain: str, least: int) -> None:
    for opset in model.opset_import:
        if opset.domain == domain:
            opset.version = max(opset.version, least)
            return
    model.opset_import.append(helper.make_opsetid(domain, least))


def _taken(graph: onnx.GraphProto, face: Face, current: str) -> str:
    if face.take is None:
        return current
    index = f"take:{face.name}"
    graph.initializer.append(numpy_helper.from_array(np.array([face.take], np.int64), index))
    graph.node.append(helper.make_node("Gather", [current, index], [f"taken:{face.name}"], axis=1))
    return f"taken:{face.name}"


def _named(graph: onnx.GraphProto, face: Face, current: str) -> str:
    if not face.names:
        return current
    named = f"named:{face.name}"
    graph.node.append(
        helper.make_node(
            "LabelEncoder",
            [current],
            [named],
            domain="ai.onnx.ml",
            keys_int64s=[key for key, _ in face.names],
            values_strings=[name for _, name in face.names],
        )
    )
    return named


def hide_inner_names(graph: onnx.GraphProto) -> None:
    """Makes every name free that a column or an answer may have: a table may well have a column ``variable``."""
    produced = [name for node in graph.node for name in node.output if name]
    produced += [tensor.name for tensor in graph.initializer]
    names = {name: f"inner:{number}" for number, name in enumerate(produced)}
    rename_values(graph, names)
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]


def rename_values(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Calls values by other names wherever they are made or read, also in loop bodies; inputs keep theirs."""
    for node in graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    reread(graph, names)
    for value in (*graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)


def reread(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Lets every node read ``names[x]`` instead of ``x``; loop bodies may read what is outside of them, unless
    they have a value of that name themselves."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        for body in _bodies(node):
            own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
            own.update(name for inner in body.node for name in inner.output)
            outer = {name: new for name, new in names.items() if name not in own}
            reread(body, outer)
            for value in body.output:
                value.name = outer.get(value.name, value.name)


def _reads(node: NodeProto) -> set[str]:
    names = set(node.input)
    for body in _bodies(node):
        names.update(value.name for value in body.output)
        for inner in body.node:
            names |= _reads(inner)
    return names


def _bodies(node: NodeProto) -> list[onnx.GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]


def _prepend(graph: onnx.GraphProto, nodes: Sequence[NodeProto]) -> None:
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def remove_unused(model: ModelProto) -> None:
    """Identities give way to what they copy; nodes and constants that no output needs go."""
    graph = model.graph
    outputs = {value.name for value in graph.output}
    copies = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.output[0] not in outputs
    }
    copies = {name: _source(name, copies) for name in copies}
    reread(graph, copies)
    wanted = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if node.op_type == "Identity" and node.output[0] in copies:
            continue
        if any(name in wanted for name in node.output):
            wanted |= _reads(node)
            kept.append(node)
    kept.reverse()
    constants = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.initializer[:]
    graph.initializer.extend(constants)
    del graph.value_info[:]


def _source(name: str, copies: dict[str, str]) -> str:
    while name in copies:
        name = copies[name]
    return name
