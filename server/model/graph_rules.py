"""What a graph may be, whoever made it: the bounds that are checked before a runtime sees it.

A graph is a program from a stranger. Nothing here runs it; what it *claims* is compared with what it holds, and
what would make a reader recurse, multiply or wait is bounded. The rules look at an outline
(``onnx_outline.proto``), or at onnx's own message, which has the same fields and more: converters hold what they
publish to the same rules.

What can only be seen by loading (constants that grow when they are folded, loops without end) is for the trial
(``trial.py``).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from rapide.proto import onnx_outline_pb2 as outline
from rapide.server.errors import BrokenVersion
from rapide.server.model.element_types import BITS, STRING, stored_values
from rapide.server.model.external_data import ExternalData, place_of
from rapide.server.repository.shells import shell_of

MAX_NODES = 100_000
"""With functions written out. A forest is one node, a large language model ten thousand."""
MAX_DEPTH = 8
"""Of loop bodies and branches within each other; whoever walks a graph recurses."""
MAX_FUNCTIONS = 10_000
MAX_ROW_ELEMENTS = 1 << 24
"""Of the fixed dimensions of one input, beside the first: a 2048 × 2048 RGB image has 13 million."""
MAX_DIMENSIONS = 64
"""Of one tensor, as many as numpy knows. The product of very many would take minutes to compute and to write."""
MAX_DENSE_BYTES = 1 << 31
"""What a sparse tensor may grow to when it is written out."""
MAX_NAME = 1024
DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft", "com.microsoft.nchwc"}
)
"""Those that the runtime brings along. Another would need a library to be loaded, which is never done."""

_EXTERNAL = 1
"""TensorProto.DataLocation."""
_MAX_INNER_NAME = 65536
"""Of values and operators within a graph: exporters join paths of modules to names."""


@dataclass(frozen=True, slots=True)
class GraphFigures:
    """What was counted, beside the limits: what the first gate reports."""

    nodes: int
    depth: int
    functions: int

    def to_json(self) -> dict[str, int]:
        return {
            "nodes": self.nodes,
            "max_nodes": MAX_NODES,
            "depth": self.depth,
            "max_depth": MAX_DEPTH,
            "functions": self.functions,
        }


def read_outline(content: bytes) -> outline.Model:
    """The outline of a serialised ModelProto. Raises BrokenVersion for what is none."""
    shell = shell_of(content[:16])
    if shell:
        raise BrokenVersion(f"the file is {shell}, no ONNX model")
    try:
        return outline.Model.FromString(content)
    except DecodeError:
        raise BrokenVersion("the file is no ONNX model, or damaged") from None


def check_graph(model: outline.Model) -> GraphFigures:
    """What was counted. Raises BrokenVersion, with figure and limit, for a model that may not be loaded."""
    if not model.HasField("graph"):
        raise BrokenVersion("the file has no graph")
    figures = _measure(model)
    _check_interface(model.graph)
    functions = frozenset((each.domain, each.name) for each in model.functions)
    for graph in _all_graphs(model):
        _check_nodes(graph.node, functions, "graph")
        _check_single_assignment(graph)
    for function in model.functions:
        _check_nodes(function.node, functions, f"function {_shown(function.name)}")
    for tensor in tensors_of(model):
        _check_tensor(tensor)
    for sparse in _sparse_tensors(model):
        _check_sparse(sparse)
    return figures


# How much there is.


def _measure(model: outline.Model) -> GraphFigures:
    """Counts nodes with their bodies, and with functions written out as often as they are called."""
    depth = 1
    counts: dict[str, int] = {}
    calls: dict[str, list[tuple[str, str]]] = {}
    bodies: list[tuple[str, Sequence[outline.Node]]] = [("", model.graph.node)]
    bodies += [(f"{each.domain}:{each.name}", each.node) for each in model.functions]
    if len(model.functions) > MAX_FUNCTIONS:
        raise BrokenVersion(f"it defines {len(model.functions)} functions; the limit is {MAX_FUNCTIONS}")
    if len({name for name, _ in bodies}) < len(bodies):
        raise BrokenVersion("it defines a function twice")
    for name, nodes in bodies:
        counts[name] = 0
        called: list[tuple[str, str]] = []
        for node, level in _nodes(nodes, 1):
            depth = max(depth, level)
            if level > MAX_DEPTH:
                raise BrokenVersion(f"its graph nests more than {MAX_DEPTH} loops or branches")
            counts[name] += 1
            called.append((node.domain, node.op_type))
        if counts[name] > MAX_NODES:
            raise BrokenVersion(f"its graph has {counts[name]} nodes; the limit is {MAX_NODES}")
        calls[name] = called
    known = {name: [f"{domain}:{kind}" for domain, kind in called] for name, called in calls.items()}
    nodes_in_all = _written_out(counts, known)
    if nodes_in_all > MAX_NODES:
        raise BrokenVersion(
            f"its graph has {nodes_in_all} nodes with functions written out; the limit is {MAX_NODES}"
        )
    return GraphFigures(nodes_in_all, depth, len(model.functions))


def _nodes(nodes: Iterable[outline.Node], level: int) -> Iterator[tuple[outline.Node, int]]:
    for node in nodes:
        yield node, level
        if level <= MAX_DEPTH:
            for graph in _bodies(node):
                yield from _nodes(graph.node, level + 1)


def _bodies(node: outline.Node) -> Iterator[outline.Graph]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _written_out(counts: Mapping[str, int], calls: Mapping[str, Sequence[str]]) -> int:
    """The nodes of the graph (``""``) when every call is replaced by what it calls. Raises BrokenVersion for a
    function that leads back to itself."""
    totals: dict[str, int] = {}
    waiting = {name: {each for each in called if each in counts} for name, called in calls.items()}
    ready = deque(name for name, others in waiting.items() if not others)
    callers: dict[str, set[str]] = {name: set() for name in counts}
    for name, others in waiting.items():
        for other in others:
            callers[other].add(name)
    while ready:
        name = ready.popleft()
        totals[name] = counts[name] + sum(totals[each] for each in calls[name] if each in counts)
        for caller in callers[name]:
            waiting[caller].discard(name)
            if not waiting[caller]:
                ready.append(caller)
    circular = sorted(set(counts) - set(totals))
    if circular:
        culprit = next((name for name in circular if name), "")
        raise BrokenVersion(f"its function {_shown(culprit)} calls itself")
    return totals[""]


# What enters and leaves.


def _check_interface(graph: outline.Graph) -> None:
    for what, values in (("input", graph.input), ("output", graph.output)):
        names = [value.name for value in values]
        for name in names:
            if not name or len(name) > MAX_NAME or not name.isprintable():
                raise BrokenVersion(f"its {what} {_shown(name)} has no printable name")
        twice = _first_twice(names)
        if twice is not None:
            raise BrokenVersion(f"its {what} {_shown(twice)} is there twice")
    for value in graph.input:
        shape = value.type.tensor_type.shape
        _check_rank(len(shape.dim), f"input {_shown(value.name)}")
        fixed = [each.dim_value for each in shape.dim[1:] if each.HasField("dim_value")]
        elements = math.prod(max(1, size) for size in fixed)
        if elements > MAX_ROW_ELEMENTS:
            raise BrokenVersion(
                f"one row of its input {_shown(value.name)} has {elements} elements; "
                f"the limit is {MAX_ROW_ELEMENTS}"
            )


# What is in all of them, inner ones too.


def _all_graphs(model: outline.Model) -> Iterator[outline.Graph]:
    """The model's graph, those of training, and the bodies within all of them and within functions."""
    yield from _with_inner(model.graph)
    for training in model.training_info:
        yield from _with_inner(training.initialization)
        yield from _with_inner(training.algorithm)
    for function in model.functions:
        for node in function.node:
            for body in _bodies(node):
                yield from _with_inner(body)


def _with_inner(graph: outline.Graph) -> Iterator[outline.Graph]:
    yield graph
    for node in graph.node:
        for body in _bodies(node):
            yield from _with_inner(body)


def _all_attributes(model: outline.Model) -> Iterator[outline.Attribute]:
    for graph in _all_graphs(model):
        for node in graph.node:
            yield from node.attribute
    for function in model.functions:
        yield from function.attribute_proto
        for node in function.node:
            yield from node.attribute


def _sparse_tensors(model: outline.Model) -> Iterator[outline.SparseTensor]:
    for graph in _all_graphs(model):
        yield from graph.sparse_initializer
    for attribute in _all_attributes(model):
        if attribute.HasField("sparse_tensor"):
            yield attribute.sparse_tensor
        yield from attribute.sparse_tensors


def tensors_of(model: outline.Model) -> Iterator[outline.Tensor]:
    """All tensors, wherever they are: constants, attributes, and those that sparse ones are made of."""
    for graph in _all_graphs(model):
        yield from graph.initializer
    for attribute in _all_attributes(model):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
    for sparse in _sparse_tensors(model):
        yield sparse.values
        yield sparse.indices


def is_outside(tensor: outline.Tensor) -> bool:
    """Whether the tensor's data lies in another file."""
    return tensor.data_location == _EXTERNAL or bool(tensor.external_data)


# Rules.


def _check_nodes(nodes: Sequence[outline.Node], functions: frozenset[tuple[str, str]], what: str) -> None:
    for node in nodes:
        for name in (*node.input, *node.output, node.op_type, node.domain):
            if "\0" in name or len(name) > _MAX_INNER_NAME:
                raise BrokenVersion(f"its {what} uses the name {_shown(name)}, which holds a NUL or is too long")
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in functions:
            raise BrokenVersion(
                f"its operator {_shown(node.op_type)} is of the domain {_shown(node.domain)}, "
                "which is not known here"
            )
    _check_acyclic(nodes, what)


def _check_single_assignment(graph: outline.Graph) -> None:
    """Every name is given once: by an input, a node, or a constant (which may be an input's default)."""
    made = [name for node in graph.node for name in node.output if name]
    made += [value.name for value in graph.input]
    constants = [tensor.name for tensor in graph.initializer]
    constants += [sparse.values.name for sparse in graph.sparse_initializer]
    for names in (made, constants):
        twice = _first_twice(names)
        if twice is not None:
            raise BrokenVersion(f"its graph gives {_shown(twice)} twice")


def _check_acyclic(nodes: Sequence[outline.Node], what: str) -> None:
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    needs = [{maker[name] for name in node.input if name in maker} for node in nodes]
    users: list[list[int]] = [[] for _ in nodes]
    for index, others in enumerate(needs):
        for other in others:
            users[other].append(index)
    left = [len(others) for others in needs]
    ready = deque(index for index, count in enumerate(left) if not count)
    done = 0
    while ready:
        done += 1
        for user in users[ready.popleft()]:
            left[user] -= 1
            if not left[user]:
                ready.append(user)
    if done < len(nodes):
        culprit = next(index for index, count in enumerate(left) if count)
        raise BrokenVersion(
            f"its {what} is cyclic: {_shown(nodes[culprit].op_type)} needs what is made of its answer"
        )


def _check_tensor(tensor: outline.Tensor) -> None:
    """Raises BrokenVersion unless the tensor holds what its shape claims. External data is compared with its
    declared length; ``external_data`` compares that with the file."""
    name = _shown(tensor.name)
    elements = _elements(tensor.dims, name)
    if tensor.data_type not in BITS and tensor.data_type != STRING:
        raise BrokenVersion(f"its tensor {name} is of the unknown type {tensor.data_type}")
    if is_outside(tensor):
        _check_outside(tensor, name, elements)
        return
    if tensor.data_type == STRING:
        found, wanted, unit = len(tensor.string_data), elements, "texts"
    elif tensor.HasField("raw_data"):
        found, wanted, unit = len(tensor.raw_data), size_bytes(tensor.data_type, elements), "bytes"
    else:
        found, wanted, unit = stored_values(tensor), _values(tensor.data_type, elements), "values"
    if found != wanted:
        raise BrokenVersion(
            f"its tensor {name} of shape {_dims(tensor.dims)} holds {found} {unit} instead of {wanted}"
        )


def _check_outside(tensor: outline.Tensor, name: str, elements: int) -> None:
    if tensor.data_type == STRING:
        raise BrokenVersion(f"its texts {name} lie outside of the file")
    place = place_of({entry.key: entry.value for entry in tensor.external_data})
    wanted = size_bytes(tensor.data_type, elements)
    if place.length and place.length != wanted:
        raise BrokenVersion(
            f"its tensor {name} of shape {_dims(tensor.dims)} is to be read from {place.length} bytes "
            f"instead of {wanted}"
        )


def size_bytes(data_type: int, elements: int) -> int:
    """What so many elements take in raw form; those of less than a byte share one."""
    return (BITS.get(data_type, 8) * elements + 7) // 8


def _values(data_type: int, elements: int) -> int:
    """How many entries so many elements take in a typed field: complex numbers two, small ones share one."""
    bits = BITS[data_type]
    complex_types = (14, 15)
    if data_type in complex_types:
        return 2 * elements
    return elements if bits >= 8 else (bits * elements + 7) // 8


def _check_sparse(sparse: outline.SparseTensor) -> None:
    name = _shown(sparse.values.name)
    bits = BITS.get(sparse.values.data_type, 64)
    dense_bytes = bits * _elements(sparse.dims, name) // 8
    if dense_bytes > MAX_DENSE_BYTES:
        raise BrokenVersion(
            f"its sparse tensor {name} of shape {_dims(sparse.dims)} takes {dense_bytes} bytes written out; "
            f"the limit is {MAX_DENSE_BYTES}"
        )
    count = _elements(sparse.values.dims, name)
    if list(sparse.indices.dims) not in ([count], [count, len(sparse.dims)]):
        raise BrokenVersion(
            f"its sparse tensor {name} has {count} values for indices of {_dims(sparse.indices.dims)}"
        )


def _check_rank(rank: int, what: str) -> None:
    if rank > MAX_DIMENSIONS:
        raise BrokenVersion(f"its {what} has {rank} dimensions; the limit is {MAX_DIMENSIONS}")


def _elements(dims: Sequence[int], name: str) -> int:
    _check_rank(len(dims), f"tensor {name}")
    if any(size < 0 for size in dims):
        raise BrokenVersion(f"its tensor {name} has the shape {_dims(dims)}")
    return math.prod(dims)


# Where weights lie.


def places_outside(model: outline.Model) -> Iterator[ExternalData]:
    """The place of each tensor outside of the file; its length is what the shape needs where none is told."""
    for tensor in tensors_of(model):
        if is_outside(tensor):
            place = place_of({entry.key: entry.value for entry in tensor.external_data})
            yield replace(place, length=place.length or size_bytes(tensor.data_type, math.prod(tensor.dims)))


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _dims(dims: Sequence[int]) -> str:
    return f"{list(dims[:8])}{'…' if len(dims) > 8 else ''}"


def _shown(name: str) -> str:
    return repr(name[:80])
