"""Trees in a smaller shape with the same answers, to the bit.

*Zeros.* A leaf lists what it adds to each target. Converters list all of them; of a forest's leaf most are 0,
which adds nothing and costs a step for every row that comes there.

*Idle splits.* A split both of whose leaves add the same decides nothing: it becomes that leaf, and so on upwards.

What brings nothing: another order of nodes or trees, or merged chains of equality tests, since the runtime lays
trees out in an order of its own when it loads them; and dividing a forest among several nodes, which is slower
(docs/guides/optimise.md has the figures).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from rapide.converters.optimise.contract import Bench, Made, NotApplicable
from rapide.converters.optimise.traits import TREES

_KINDS: Mapping[str, str] = {"TreeEnsembleClassifier": "class", "TreeEnsembleRegressor": "target"}
"""Operator → how the attributes of its leaves begin."""
_LEAF = b"LEAF"

Key = tuple[int, int]
"""Tree and node."""
Adds = tuple[tuple[int, float], ...]
"""What a leaf adds: (target, weight)."""


@dataclass(slots=True)
class _Forest:
    """``places``: where a node stands in the attributes; ``children`` of inner nodes; ``adds`` of leaves."""

    places: dict[Key, int] = field(default_factory=dict)
    children: dict[Key, tuple[Key, Key]] = field(default_factory=dict)
    adds: dict[Key, Adds] = field(default_factory=dict)

    def bottom_up(self) -> Iterator[Key]:
        """Inner nodes, children before their parents; without recursion, for trees can be deep."""
        below = {child for pair in self.children.values() for child in pair}
        waiting = [key for key in self.places if key not in below]
        order: list[Key] = []
        while waiting:
            key = waiting.pop()
            if key in self.children:
                order.append(key)
                waiting.extend(self.children[key])
        return reversed(order)


def make(bench: Bench) -> Made:
    """Raises NotApplicable where there are no trees, or nothing about them is idle."""
    if not bench.traits.has(TREES):
        raise NotApplicable("there are no trees")
    model = ModelProto()
    model.CopyFrom(bench.clean)
    zeros = splits = 0
    for node in model.graph.node:
        if node.op_type in _KINDS:
            dropped = drop_idle(node)
            zeros, splits = zeros + dropped[0], splits + dropped[1]
    if not zeros and not splits:
        raise NotApplicable("no leaf of its trees lists zeros, and every split makes a difference")
    return Made(model, {"zeros_dropped": zeros, "splits_dropped": splits})


def drop_idle(node: NodeProto) -> tuple[int, int]:
    """Drops zeros and idle splits of a TreeEnsemble, in place. Returns how many of each."""
    kind = _KINDS[node.op_type]
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    forest = _read(attributes, kind)
    listed = sum(len(adds) for adds in forest.adds.values())
    if _is_sum(node.op_type, attributes):
        forest.adds = {key: _without_zeros(adds) for key, adds in forest.adds.items()}
    zeros = listed - sum(len(adds) for adds in forest.adds.values())
    splits = _drop_splits(forest)
    if zeros or splits:
        _write(node, attributes, kind, forest)
    return zeros, splits


def _is_sum(operator: str, attributes: Mapping[str, Any]) -> bool:
    """Whether zeros are nothing: not to a mean or a maximum, nor where the runtime reads from the weights which
    kind of classifier it has before it."""
    return operator == "TreeEnsembleRegressor" and attributes.get("aggregate_function", b"SUM") == b"SUM"


def _without_zeros(adds: Adds) -> Adds:
    """A leaf must list something."""
    return tuple(add for add in adds if add[1] != 0.0) or adds[:1]


def _drop_splits(forest: _Forest) -> int:
    dropped = 0
    for key in forest.bottom_up():
        left, right = forest.children[key]
        if left in forest.adds and forest.adds[left] == forest.adds.get(right):
            forest.adds[key] = forest.adds[left]
            del forest.children[key]
            for child in (left, right):
                del forest.places[child], forest.adds[child]
            dropped += 1
    return dropped


def _read(attributes: Mapping[str, Any], kind: str) -> _Forest:
    forest = _Forest()
    yes, no = attributes["nodes_truenodeids"], attributes["nodes_falsenodeids"]
    for place, key in enumerate(zip(attributes["nodes_treeids"], attributes["nodes_nodeids"], strict=True)):
        forest.places[key] = place
        if attributes["nodes_modes"][place] == _LEAF:
            forest.adds[key] = ()
        else:
            forest.children[key] = ((key[0], yes[place]), (key[0], no[place]))
    listed: dict[Key, list[tuple[int, float]]] = {}
    keys = zip(attributes[f"{kind}_treeids"], attributes[f"{kind}_nodeids"], strict=True)
    for key, target, weight in zip(keys, attributes[f"{kind}_ids"], _weights(attributes, kind), strict=True):
        listed.setdefault(key, []).append((target, weight))
    forest.adds |= {key: tuple(sorted(adds)) for key, adds in listed.items()}
    return forest


def _weights(attributes: Mapping[str, Any], kind: str) -> Sequence[float]:
    as_tensor = attributes.get(f"{kind}_weights_as_tensor")
    weights: Sequence[float] = (
        attributes[f"{kind}_weights"] if as_tensor is None else numpy_helper.to_array(as_tensor).tolist()
    )
    return weights


def _write(node: NodeProto, attributes: Mapping[str, Any], kind: str, forest: _Forest) -> None:
    places = list(forest.places.values())
    values: dict[str, Any] = {
        name: _chosen(value, places) for name, value in attributes.items() if name.startswith("nodes_")
    }
    numbers = _numbered(forest)
    for place, key in enumerate(forest.places):
        yes, no = forest.children.get(key, (None, None))
        values["nodes_nodeids"][place] = numbers[key]
        values["nodes_modes"][place] = _LEAF if yes is None else values["nodes_modes"][place]
        values["nodes_truenodeids"][place] = 0 if yes is None else numbers[yes]
        values["nodes_falsenodeids"][place] = 0 if no is None else numbers[no]
    adds = [(key, add) for key in forest.places for add in forest.adds.get(key, ())]
    values[f"{kind}_treeids"] = [key[0] for key, _ in adds]
    values[f"{kind}_nodeids"] = [numbers[key] for key, _ in adds]
    values[f"{kind}_ids"] = [target for _, (target, _) in adds]
    weights = [weight for _, (_, weight) in adds]
    as_tensor = attributes.get(f"{kind}_weights_as_tensor")
    if as_tensor is None:
        values[f"{kind}_weights"] = weights
    else:
        values[f"{kind}_weights_as_tensor"] = _like(as_tensor, weights)
    rest = [attribute for attribute in node.attribute if attribute.name not in values]
    made = [helper.make_attribute(name, value) for name, value in values.items() if _is_given(value)]
    del node.attribute[:]
    node.attribute.extend([*rest, *made])


def _numbered(forest: _Forest) -> dict[Key, int]:
    """New numbers of the nodes, from 0 for each tree: the runtime allows none as high as there are nodes."""
    numbers: dict[Key, int] = {}
    counts: dict[int, int] = {}
    for key in forest.places:
        numbers[key] = counts.get(key[0], 0)
        counts[key[0]] = numbers[key] + 1
    return numbers


def _is_given(value: Any) -> bool:
    """onnx cannot tell the type of an empty list, and an absent one means the same."""
    return isinstance(value, onnx.TensorProto) or len(value) > 0


def _chosen(values: Any, places: Sequence[int]) -> Any:
    if isinstance(values, onnx.TensorProto):
        array = numpy_helper.to_array(values)
        return numpy_helper.from_array(array[list(places)], values.name) if array.size else values
    return [values[place] for place in places] if len(values) else values


def _like(tensor: onnx.TensorProto, values: Sequence[float]) -> onnx.TensorProto:
    array = numpy_helper.to_array(tensor)
    return numpy_helper.from_array(array.dtype.type(values), tensor.name)
