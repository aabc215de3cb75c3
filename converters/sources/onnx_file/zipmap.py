"""Takes dictionaries out of a graph's answers: no protocol carries them, and they are slow."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, helper

from rapide.converters.surgery import BATCH


def without_zipmaps(model: ModelProto) -> tuple[ModelProto, list[str]]:
    """A copy whose outputs of dictionaries (one a row, class → probability) are matrices [N, classes], and the
    names of those outputs. The columns are in the order of the node's ``classlabels``."""
    cleaned = ModelProto()
    cleaned.CopyFrom(model)
    graph = cleaned.graph
    changed = []
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        name, classes = node.output[0], _classes(node)
        inner = next(value for value in graph.output if value.name == name)
        matrix = helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, classes])
        inner.CopyFrom(matrix)
        graph.node.remove(node)
        graph.node.append(helper.make_node("Identity", [node.input[0]], [name]))
        changed.append(name)
    return cleaned, changed


def _classes(node: object) -> int:
    """The number of classes that a ZipMap names."""
    return max(
        len(attribute.ints) + len(attribute.strings)
        for attribute in node.attribute  # type: ignore[attr-defined]  # onnx ships no types
        if attribute.name.startswith("classlabels")
    )
