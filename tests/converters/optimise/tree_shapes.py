"""The same trees in other shapes, timed against each other: what docs/guides/optimise.md says is left out.

``python -m tests.converters.optimise.tree_shapes`` trains a random forest and a gradient boosting of scikit-learn
on numbers and on categories, writes each in several shapes, checks that they answer alike, and prints how many
times as fast as the first each is: one thread, in turn within one process, on different rows in each run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from sklearn.datasets import make_friedman1
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

from rapide.converters.optimise.race import batches_of, rounds
from rapide.server.model.session import Session, SessionOptions

ROWS = (1, 8, 32, 128)
COLUMNS, CATEGORIES, TRAINED = 4, 8, 4000
BUDGET_S = 1.5


@dataclass(frozen=True, slots=True)
class Tree:
    """Arrays by node, as scikit-learn has them. ``modes``: which comparison leads to ``yes``."""

    features: Any
    thresholds: Any
    yes: Any
    no: Any
    values: Any
    samples: Any
    modes: Any


def trees_of(model: Any) -> list[Tree]:
    found = []
    for member in np.asarray(model.estimators_, dtype=object).ravel():
        tree = member.tree_
        modes = np.where(tree.children_left < 0, "LEAF", "BRANCH_LEQ")
        found.append(
            Tree(
                tree.feature.copy(),
                tree.threshold.astype(np.float32),
                tree.children_left.copy(),
                tree.children_right.copy(),
                tree.value[:, 0, 0].astype(np.float32),
                tree.n_node_samples,
                modes,
            )
        )
    return found


def likelier_first(tree: Tree) -> Tree:
    """``yes`` is the branch that more rows of the training took; the runtime keeps it next to its parent."""
    inner = tree.yes >= 0
    swapped = inner & (tree.samples[np.maximum(tree.no, 0)] > tree.samples[np.maximum(tree.yes, 0)])
    return replace(
        tree,
        yes=np.where(swapped, tree.no, tree.yes),
        no=np.where(swapped, tree.yes, tree.no),
        modes=np.where(swapped, "BRANCH_GT", tree.modes),
    )


def breadth_first(tree: Tree) -> Tree:
    """The same nodes, numbered level by level."""
    order = [0]
    for node in order:
        order.extend(int(child) for child in (tree.yes[node], tree.no[node]) if child >= 0)
    chosen = np.array(order)
    number = np.empty(len(order), dtype=int)
    number[chosen] = np.arange(len(order))

    def moved(children: Any) -> Any:
        return np.where(children[chosen] < 0, -1, number[np.maximum(children[chosen], 0)])

    kept = {name: getattr(tree, name)[chosen] for name in ("features", "thresholds", "values", "samples", "modes")}
    return Tree(yes=moved(tree.yes), no=moved(tree.no), **kept)


def by_code(tree: Tree) -> Tree:
    """Flags ``column = category`` asked about by the category's code: chains of BRANCH_EQ."""
    inner = tree.yes >= 0
    return replace(
        tree,
        features=np.where(inner, tree.features // CATEGORIES, 0),
        thresholds=np.where(inner, tree.features % CATEGORIES, 0).astype(np.float32),
        yes=tree.no,
        no=tree.yes,
        modes=np.where(inner, "BRANCH_EQ", "LEAF"),
    )


def shuffled(trees: list[Tree]) -> list[Tree]:
    return [trees[place] for place in np.random.default_rng(0).permutation(len(trees))]


ORDERS: Mapping[str, Callable[[list[Tree]], list[Tree]]] = {
    "as trained": lambda trees: trees,
    "trees by size": lambda trees: sorted(trees, key=lambda tree: len(tree.values)),
    "trees shuffled": shuffled,
    "nodes level by level": lambda trees: [breadth_first(tree) for tree in trees],
    "the likelier branch first": lambda trees: [likelier_first(tree) for tree in trees],
}


def session_of(trees: list[Tree], width: int) -> Session:
    """The sum of ``trees`` over [N, width] float32."""
    sizes = [len(tree.values) for tree in trees]
    ids = np.concatenate([np.arange(size) for size in sizes])
    owners = np.repeat(np.arange(len(trees)), sizes)
    joined = {name: np.concatenate([getattr(tree, name) for tree in trees]) for name in Tree.__dataclass_fields__}
    leaves = joined["modes"] == "LEAF"
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=owners.tolist(),
        nodes_nodeids=ids.tolist(),
        nodes_featureids=np.maximum(joined["features"], 0).tolist(),
        nodes_values=joined["thresholds"].tolist(),
        nodes_modes=joined["modes"].tolist(),
        nodes_truenodeids=np.maximum(joined["yes"], 0).tolist(),
        nodes_falsenodeids=np.maximum(joined["no"], 0).tolist(),
        target_treeids=owners[leaves].tolist(),
        target_nodeids=ids[leaves].tolist(),
        target_ids=[0] * int(leaves.sum()),
        target_weights=joined["values"][leaves].tolist(),
    )
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", width])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph([node], "trees", [given], [answer]), opset_imports=opsets)
    model.ir_version = 10
    session = Session(model.SerializeToString(), Path(), has_external_data=False, options=SessionOptions())
    session.select(["x"], ["y"])
    return session


def compared(sessions: Mapping[str, Session], feeds: Mapping[str, Any]) -> list[list[str]]:
    """One line a shape: how many times as fast as the first it is, by rows. Raises AssertionError unless all
    answer alike."""
    first = next(iter(sessions))
    answers = {name: session.run([feeds[name][:500]])[0] for name, session in sessions.items()}
    for name, array in answers.items():
        np.testing.assert_allclose(array, answers[first], rtol=1e-4, err_msg=name)
    ratios: dict[str, list[str]] = {name: [] for name in sessions}
    for rows in ROWS:
        by_feed = {name: batches_of([feeds[name]], rows) for name in sessions}
        times = _rounds(sessions, by_feed)
        for name in sessions:
            ratio = statistics.median(base / own for base, own in zip(times[first], times[name], strict=True))
            time_us = statistics.median(times[name]) * 1e6
            ratios[name].append(f"{ratio:.2f}" if name != first else f"{time_us:.3g} µs")
    return [[name, *figures] for name, figures in ratios.items()]


def _rounds(sessions: Mapping[str, Session], batches: Mapping[str, Any]) -> dict[str, list[float]]:
    """``race.rounds``, where shapes take different inputs."""
    fed = {name: _Fed(session, batches[name]) for name, session in sessions.items()}
    count = len(next(iter(batches.values())))
    return rounds(fed, [[number] for number in range(count)], BUDGET_S)  # type: ignore[arg-type, list-item]


@dataclass(frozen=True, slots=True)
class _Fed:
    session: Session
    batches: Any

    def run(self, batch: list[int]) -> Any:
        return self.session.run(self.batches[batch[0]])


def main() -> int:
    numbers, target = make_friedman1(n_samples=2 * TRAINED, n_features=20, random_state=0)
    codes = np.random.default_rng(0).integers(0, CATEGORIES, size=(2 * TRAINED, COLUMNS))
    flags = np.eye(CATEGORIES)[codes].reshape(len(codes), -1)
    of_codes = (codes % 3).sum(axis=1) + (codes[:, 0] == codes[:, 1])
    models = {
        "random forest, 100 trees": RandomForestRegressor(100, min_samples_leaf=5, random_state=0),
        "gradient boosting, 100 trees of depth 5": GradientBoostingRegressor(n_estimators=100, max_depth=5),
    }
    print("| | " + " | ".join(f"{rows} rows" for rows in ROWS) + " |\n|---|" + "---|" * len(ROWS))
    for name, model in models.items():
        trees = trees_of(model.fit(numbers[:TRAINED], target[:TRAINED]))
        fresh = numbers[TRAINED:].astype(np.float32)
        shapes = {each: session_of(order(trees), fresh.shape[1]) for each, order in ORDERS.items()}
        lines = compared(shapes, dict.fromkeys(shapes, fresh))
        trees = trees_of(model.fit(flags[:TRAINED], of_codes[:TRAINED]))
        feeds = {"flags": flags[TRAINED:].astype(np.float32), "codes": codes[TRAINED:].astype(np.float32)}
        coded = [by_code(tree) for tree in trees]
        kinds = {"flags": session_of(trees, flags.shape[1]), "codes": session_of(coded, COLUMNS)}
        for line in lines + compared(kinds, feeds):
            print(f"| {name}: " + " | ".join(line) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
