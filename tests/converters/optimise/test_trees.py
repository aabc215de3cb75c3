"""Smaller trees answer the same, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_digits
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier

from rapide.converters.optimise.contract import NotApplicable
from rapide.converters.optimise.trees import drop_idle, make
from tests.converters.material import converted
from tests.converters.optimise.test_recipes import bench_of
from tests.models import build, port

FEATURES, TARGET = load_digits(return_X_y=True, as_frame=True)
ROWS = FEATURES.to_numpy(np.float32)


def answers(model: onnx.ModelProto, rows: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    wide = session.get_inputs()[0].type == "tensor(double)"
    return [session.run(None, {name: part.astype(np.float64) if wide else part}) for part in (rows, rows[:1])]


def test_a_forest_lists_no_zeros(tmp_path: Path) -> None:
    forest = RandomForestClassifier(12, max_depth=6, random_state=0)
    found = converted(tmp_path, forest, FEATURES[::2].astype(float), TARGET[::2])
    bench = bench_of(onnx.load_model(found.folder / "model.onnx"), {"features": ROWS[:8]}, tmp_path)
    made = make(bench)
    assert made.options["zeros_dropped"] > 1000
    assert made.model.ByteSize() < 0.7 * bench.clean.ByteSize()
    for left, right in zip(answers(bench.original, ROWS), answers(made.model, ROWS), strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


def test_trees_without_anything_idle_are_left_alone(tmp_path: Path) -> None:
    boosted = GradientBoostingRegressor(n_estimators=5, random_state=0)
    found = converted(tmp_path, boosted, FEATURES[:200].astype(float), FEATURES.sum(axis=1)[:200])
    bench = bench_of(onnx.load_model(found.folder / "model.onnx"), {"features": ROWS[:8]}, tmp_path)
    with pytest.raises(NotApplicable, match="every split makes a difference"):
        make(bench)


def tree(*, weights: list[float], **more: Any) -> onnx.NodeProto:
    """x[0] ≤ 0.5 ? (x[1] ≤ 1 ? a : b) : (x[1] ≤ 2 ? c : d), with the weights a, b, c, d."""
    return helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0] * 7, nodes_nodeids=[0, 1, 2, 3, 4, 5, 6], nodes_featureids=[0, 1, 0, 0, 1, 0, 0],
        nodes_values=[0.5, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 2, 0, 0, 5, 0, 0], nodes_falsenodeids=[4, 3, 0, 0, 6, 0, 0],
        target_treeids=[0] * 4, target_nodeids=[2, 3, 5, 6], target_ids=[0] * 4, target_weights=weights, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "splits", "nodes"),
    [
        ([1.0, 1.0, 2.0, 3.0], 1, 5),
        ([1.0, 1.0, 2.0, 2.0], 2, 3),
        ([1.0, 1.0, 1.0, 1.0], 3, 1),
        ([1.0, 2.0, 3.0, 4.0], 0, 7),
    ],
)
def test_idle_splits_become_leaves(weights: list[float], splits: int, nodes: int) -> None:
    node = tree(weights=[float(weight) for weight in weights])
    x, y = port("x", TensorProto.FLOAT, ("N", 2)), port("y", TensorProto.FLOAT, ("N", 1))
    rows = np.array([[a, b] for a in (0.0, 1.0) for b in (0.5, 1.5, 2.5)], np.float32)
    before = answers(build([node], [x], [y]), rows)
    assert drop_idle(node) == (0, splits)
    assert len(next(each.ints for each in node.attribute if each.name == "nodes_nodeids")) == nodes
    for left, right in zip(before, answers(build([node], [x], [y]), rows), strict=True):
        assert np.array_equal(left[0], right[0])


def test_zeros_count_in_a_mean() -> None:
    assert drop_idle(tree(weights=[0.0, 1.0, 2.0, 3.0], aggregate_function="AVERAGE"))[0] == 0
