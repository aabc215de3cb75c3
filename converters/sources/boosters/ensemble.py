"""One notation for boosted trees, whoever grew them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from rapide.server.tensors import Array

Mode = Literal["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_EQ", "LEAF"]
Link = Literal["identity", "sigmoid", "softmax", "exp", "log1pexp", "signed_square", "step"]
"""From the sum x of the leaves to the answer: ``log1pexp`` is log(1 + exp(x)), ``signed_square`` sign(x)·x²,
``step`` 1 where x > 0 and else 0."""


@dataclass(slots=True)
class Ensemble:
    """All nodes of all trees, side by side: node ``i`` is node ``nodes[i]`` of tree ``trees[i]``; parents come
    before their children. ``yes`` is where a row goes for which the comparison holds; a missing value (NaN) goes
    there where ``missing[i]``. Leaves have no comparison; their weights are in ``leaf_…``, one entry a target.
    """

    targets: int
    """Sums that are made: 1, or one a class."""
    link: Link
    slope: float = 1.0
    """What the sum is multiplied with before ``link`` (LightGBM's parameter ``sigmoid``)."""
    is_wide: bool = False
    """Whether the original compares doubles; else it narrows what it is given to float32."""
    base: tuple[float, ...] = ()
    """What every sum starts from."""
    trees: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    modes: list[Mode] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    missing: list[bool] = field(default_factory=list)
    leaf_trees: list[int] = field(default_factory=list)
    leaf_nodes: list[int] = field(default_factory=list)
    leaf_targets: list[int] = field(default_factory=list)
    leaf_weights: list[float] = field(default_factory=list)

    def branch(
        self,
        tree: int,
        node: int,
        mode: Mode,
        feature: int,
        threshold: float,
        ways: tuple[int, int],
        *,
        missing: bool,
    ) -> None:
        """Adds a comparison. ``ways``: the nodes for yes and no."""
        self._add(tree, node, mode, feature, threshold, *ways, missing)

    def member(
        self,
        tree: int,
        node: int,
        feature: int,
        values: Sequence[int],
        ways: tuple[int, int],
        spare: int,
        *,
        missing: bool,
    ) -> int:
        """Adds "is one of ``values``", as a chain of equalities that the runtime makes one comparison of. Its
        further nodes are numbered from ``spare``; returns the next free number."""
        yes, no = ways
        for position, value in enumerate(values):
            last = position == len(values) - 1
            self.branch(
                tree, node, "BRANCH_EQ", feature, float(value), (yes, no if last else spare), missing=missing
            )
            node, spare = spare, spare + (not last)
        return spare

    def leaf(self, tree: int, node: int, weights: Sequence[float], target: int = 0) -> None:
        """Adds a leaf that adds ``weights`` to ``target`` and those after it."""
        self._add(tree, node, "LEAF", 0, 0.0, 0, 0, False)
        for position, weight in enumerate(weights):
            self.leaf_trees.append(tree)
            self.leaf_nodes.append(node)
            self.leaf_targets.append(target + position)
            self.leaf_weights.append(float(weight))

    def reached(self, matrix: Array, tree: int) -> tuple[Array, Array]:
        """Which nodes of one tree the rows come to: positions of the nodes in this record [M], booleans [N, M]."""
        inside = np.flatnonzero(np.asarray(self.trees) == tree)
        places = {self.nodes[position]: column for column, position in enumerate(inside)}
        reached = np.zeros((len(matrix), len(inside)), dtype=bool)
        reached[:, 0] = True
        for column, position in enumerate(inside):
            if self.modes[position] != "LEAF":
                holds = self._holds(matrix, int(position))
                reached[:, places[self.yes[position]]] |= reached[:, column] & holds
                reached[:, places[self.no[position]]] |= reached[:, column] & ~holds
        return inside, reached

    def _holds(self, matrix: Array, position: int) -> Array:
        values = matrix[:, self.features[position]].astype(np.float64 if self.is_wide else np.float32)
        threshold = self.thresholds[position]
        compare = {
            "BRANCH_LEQ": np.less_equal,
            "BRANCH_LT": np.less,
            "BRANCH_GT": np.greater,
            "BRANCH_EQ": np.equal,
        }
        holds: Array = compare[self.modes[position]](values, threshold)
        return holds | np.isnan(values) if self.missing[position] else holds

    def _add(
        self, tree: int, node: int, mode: Mode, feature: int, threshold: float, yes: int, no: int, missing: bool
    ) -> None:
        self.trees.append(tree)
        self.nodes.append(node)
        self.modes.append(mode)
        self.features.append(feature)
        self.thresholds.append(float(threshold))
        self.yes.append(yes)
        self.no.append(no)
        self.missing.append(missing)
