"""Finds every place in the model that compares a number with a threshold: where rounding can change an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import Binarizer

from rapide.converters.sources.boosters.splits import places_of as places_of_booster
from rapide.converters.sources.boosters.table import booster_of
from rapide.converters.sources.contract import SplitSite
from rapide.converters.sources.scikit_learn.places import Place, Reaches
from rapide.converters.sources.scikit_learn.structure import Node, dense, walk
from rapide.server.tensors import Array


def split_sites(root: Node, most: int) -> list[SplitSite]:
    """The comparisons of trees, binners and binarisers; those with the same preprocessing in one site."""
    places = [place for node in walk(root) for place in _places_of(node)]
    total = sum(len(place.thresholds) for place in places)
    wanted = np.unique(np.linspace(0, total - 1, min(most, total)).astype(int)) if total else np.empty(0, int)
    groups: dict[tuple[int, type], list[tuple[Place, Array]]] = {}
    start = 0
    for place in places:
        stop = start + len(place.thresholds)
        mine = wanted[(wanted >= start) & (wanted < stop)] - start
        if mine.size:
            groups.setdefault((id(place.before), place.cast), []).append((place, mine))
        start = stop
    return [_site(group) for group in groups.values()]


def _site(group: Sequence[tuple[Place, Array]]) -> SplitSite:
    before = group[0][0].before
    return SplitSite(
        paths=tuple(place.path for place, mine in group for _ in mine),
        transform=lambda frame: dense(before(frame)),
        features=np.concatenate([place.features[mine] for place, mine in group]),
        thresholds=np.concatenate([place.thresholds[mine] for place, mine in group]),
        cast=group[0][0].cast,
        reaches=lambda matrix: np.hstack([place.reaches(matrix, mine) for place, mine in group]),
    )


def _places_of(node: Node) -> Iterator[Place]:
    if booster_of(node.estimator) is not None:
        yield from places_of_booster(node)
        return
    for attribute, finder in _FINDERS:
        if hasattr(node.estimator, attribute):
            yield from finder(node)
            return


def _of_tree(node: Node) -> Iterator[Place]:
    tree = node.estimator.tree_
    inner = np.flatnonzero(tree.children_left != tree.children_right)

    def reaches(matrix: Array, splits: Array) -> Array:
        path = tree.decision_path(np.ascontiguousarray(matrix, dtype=np.float32))
        return np.asarray(sparse.csr_matrix(path)[:, inner[splits]].toarray(), dtype=bool)

    yield _place(node, tree.feature[inner], tree.threshold[inner], np.float32, reaches)


def _of_histogram_trees(node: Node) -> Iterator[Place]:
    for round_number, trees in enumerate(node.estimator._predictors):
        for tree in trees:
            yield _of_histogram_tree(node, tree.nodes, f"round {round_number + 1}")


def _of_histogram_tree(node: Node, nodes: Any, detail: str) -> Place:
    inner = np.flatnonzero((nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0))

    def reaches(matrix: Array, splits: Array) -> Array:
        reached = np.zeros((len(matrix), len(nodes)), dtype=bool)
        reached[:, 0] = True
        for index, each in enumerate(nodes):  # parents come before their children
            if not each["is_leaf"]:
                values = matrix[:, each["feature_idx"]]
                left = (values <= each["num_threshold"]) | (np.isnan(values) & bool(each["missing_go_to_left"]))
                reached[:, each["left"]] = reached[:, index] & left
                reached[:, each["right"]] = reached[:, index] & ~left
        return reached[:, inner[splits]]

    split_nodes = nodes[inner]
    return _place(
        node, split_nodes["feature_idx"], split_nodes["num_threshold"], np.float64, reaches, detail=detail
    )


def _of_bins(node: Node) -> Iterator[Place]:
    edges = [np.asarray(column, dtype=np.float64)[1:-1] for column in node.estimator.bin_edges_]
    features = np.repeat(np.arange(len(edges)), [column.size for column in edges])
    yield _place(node, features, np.concatenate(edges), np.float64)


def _of_binarizer(node: Node) -> Iterator[Place]:
    if not isinstance(node.estimator, Binarizer):  # others have a threshold of another kind
        return
    width = node.estimator.n_features_in_
    yield _place(node, np.arange(width), np.full(width, float(node.estimator.threshold)), np.float64)


def _all_rows(matrix: Array, splits: Array) -> Array:
    return np.ones((len(matrix), len(splits)), dtype=bool)


def _place(
    node: Node, features: Any, thresholds: Any, cast: type, reaches: Reaches = _all_rows, *, detail: str = ""
) -> Place:
    return Place(
        path=" → ".join(part for part in (node.path or type(node.estimator).__name__, detail) if part),
        before=node.before,
        features=np.asarray(features, dtype=np.int64),
        thresholds=np.asarray(thresholds, dtype=np.float64),
        cast=cast,
        reaches=reaches,
    )


_FINDERS: tuple[tuple[str, Callable[[Node], Iterator[Place]]], ...] = (
    ("tree_", _of_tree),
    ("_predictors", _of_histogram_trees),
    ("bin_edges_", _of_bins),
    ("threshold", _of_binarizer),
)
"""The attribute that tells the kind of estimator → what finds its comparisons."""
