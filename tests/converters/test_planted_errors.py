"""Graphs that a faulty converter could have written: the parity gate must catch each, and nothing may be
published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rapide.converters.convert import convert
from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.options import ConvertOptions
from rapide.converters.row_kinds import MISSING, THRESHOLD
from tests.converters.in_process import InProcess, Tamper
from tests.converters.material import converted, floats, saved, three_classes, two_classes


def edited(edit: Callable[[ModelProto], None]) -> Tamper:
    def tamper(path: Path) -> None:
        model = onnx.load_model(path)
        edit(model)
        onnx.save_model(model, path)

    return tamper


def attribute(node: NodeProto, name: str) -> AttributeProto:
    return next(each for each in node.attribute if each.name == name)


def node_of(model: ModelProto, kind: str) -> NodeProto:
    return next(node for node in model.graph.node if node.op_type.startswith(kind))


def swap_classes(model: ModelProto) -> None:
    labels = attribute(node_of(model, "LinearClassifier"), "classlabels_ints")
    labels.ints[:] = list(reversed(labels.ints))


def swap_columns_of_probabilities(model: ModelProto) -> None:
    """The label is right, the columns are not: what a wrong class order looks like to a client."""
    last = model.graph.node[-1]
    source = last.input[0]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 0], np.int64), "swapped_order"))
    model.graph.node.insert(
        len(model.graph.node) - 1, helper.make_node("Gather", [source, "swapped_order"], ["swapped"], axis=1)
    )
    last.input[0] = "swapped"


def shift_a_threshold(by: float) -> Callable[[ModelProto], None]:
    def edit(model: ModelProto) -> None:
        values = attribute(node_of(model, "TreeEnsemble"), "nodes_values")
        modes = attribute(node_of(model, "TreeEnsemble"), "nodes_modes").strings
        first = next(index for index, mode in enumerate(modes) if mode != b"LEAF")
        values.floats[first] += by

    return edit


def nudge_all_thresholds(model: ModelProto) -> None:
    """By one float32 upwards: no real row notices, those on the thresholds do."""
    values = attribute(node_of(model, "TreeEnsemble"), "nodes_values")
    nudged = np.nextafter(np.array(values.floats, np.float32), np.float32(np.inf))
    values.floats[:] = nudged.tolist()


def strict_comparison(model: ModelProto) -> None:
    modes = attribute(node_of(model, "TreeEnsemble"), "nodes_modes")
    modes.strings[:] = [b"BRANCH_LT" if mode == b"BRANCH_LEQ" else mode for mode in modes.strings]


def scale_wrongly(model: ModelProto) -> None:
    scale = attribute(node_of(model, "Scaler"), "scale")
    scale.floats[0] *= 1.001


def forget_a_tree(model: ModelProto) -> None:
    weights = attribute(node_of(model, "TreeEnsemble"), "target_weights")
    weights.floats[-1] = 0.0


def send_missing_elsewhere(model: ModelProto) -> None:
    tracks = attribute(node_of(model, "TreeEnsemble"), "nodes_missing_value_tracks_true")
    tracks.ints[:] = [1 - track for track in tracks.ints]


SCALED = make_pipeline(StandardScaler(), LogisticRegression())
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
BOOSTED = GradientBoostingRegressor(n_estimators=5, random_state=0)


@pytest.mark.parametrize(
    ("estimator", "edit"),
    [
        pytest.param(SCALED, swap_classes, id="class labels in the wrong order"),
        pytest.param(SCALED, swap_columns_of_probabilities, id="probabilities in the wrong order"),
        pytest.param(SCALED, scale_wrongly, id="a scale that is off by a thousandth"),
        pytest.param(TREE, shift_a_threshold(0.5), id="a threshold that is far off"),
        pytest.param(BOOSTED, shift_a_threshold(1e-6), id="a threshold that is a little off"),
        pytest.param(TREE, nudge_all_thresholds, id="thresholds that are one float off"),
        pytest.param(TREE, strict_comparison, id="less instead of less or equal"),
        pytest.param(BOOSTED, forget_a_tree, id="a leaf without its weight"),
    ],
)
def test_each_is_caught(tmp_path: Path, estimator: Any, edit: Callable[[ModelProto], None]) -> None:
    frame = floats()
    with pytest.raises(GateRefused) as refused:
        converted(
            tmp_path, estimator, frame, two_classes(frame), precision="float32", sandbox=InProcess(edited(edit))
        )
    assert refused.value.gate == "parity"
    assert not (tmp_path / "models").exists()


def test_the_report_shows_where_and_why(tmp_path: Path) -> None:
    frame = floats()
    with pytest.raises(GateRefused, match="Nothing was published") as refused:
        converted(tmp_path, TREE, frame, two_classes(frame), sandbox=InProcess(edited(nudge_all_thresholds)))
    attempt = refused.value.report["attempts"][0]
    over = [line for line in attempt["table"] if line["over"]]
    assert {line["set"] for line in over} == {THRESHOLD}, "no real row sits there"
    where = over[0]["where"]
    assert set(where["row"]) == {"width", "height", "depth"}
    assert "on a threshold of DecisionTreeClassifier" in where["why"]
    assert where["original"] != where["graph"]


def test_flips_may_be_allowed(tmp_path: Path) -> None:
    frame = floats()
    tamper = InProcess(edited(nudge_all_thresholds))
    options = {"precision": "float32", "max_difference": 1.0}
    published = converted(tmp_path, TREE, frame, two_classes(frame), sandbox=tamper, max_flips=1000, **options)
    assert sum(line["over"] for line in published.chosen.examination["table"] if line["is_label"]) > 0


def test_missing_values_that_go_astray_are_refused_where_the_sample_has_them(tmp_path: Path) -> None:
    frame = floats()
    frame.loc[::4, "width"] = np.nan
    target = frame["width"].fillna(3.0)
    forest = RandomForestRegressor(5, random_state=0)
    with pytest.raises(GateRefused) as refused:
        converted(tmp_path, forest, frame, target, sandbox=InProcess(edited(send_missing_elsewhere)))
    table = refused.value.report["attempts"][0]["table"]
    assert {line["column"] for line in table if line["set"] == MISSING and line["over"]} == {"width"}


def test_missing_values_that_go_astray_become_required_where_the_sample_has_none(tmp_path: Path) -> None:
    frame = floats()
    tamper = InProcess(edited(send_missing_elsewhere))
    forest = RandomForestRegressor(5, random_state=0)
    published = converted(tmp_path, forest, frame, frame["width"], sandbox=tamper)
    assert published.chosen.reservations
    required = {feature.name: feature.required for feature in published.manifest.features}
    assert all(required[name] for name in published.chosen.reservations)
    assert len(published.attempts) == 2, "another precision was tried, which might have done without"


def test_an_output_of_another_shape(tmp_path: Path) -> None:
    def drop_a_class(model: ModelProto) -> None:
        shape = next(tensor for tensor in model.graph.initializer if tensor.name == "shape:probabilities")
        shape.CopyFrom(numpy_helper.from_array(np.array([-1, 1], np.int64), shape.name))
        model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 1

    frame = floats()
    with pytest.raises(GateRefused, match=r"output 'probabilities' has shape .* the original answers"):
        converted(tmp_path, SCALED, frame, three_classes(frame), sandbox=InProcess(edited(drop_a_class)))


def test_a_truncated_graph(tmp_path: Path) -> None:
    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-40])

    frame = floats()
    with pytest.raises(GateRefused) as refused:
        converted(tmp_path, SCALED, frame, two_classes(frame), sandbox=InProcess(cut))
    assert refused.value.gate == "graph"


def test_a_graph_that_changes_after_it_was_examined(tmp_path: Path) -> None:
    """Something else writes to the work folder: what is published must be what was examined."""
    seen: list[Path] = []

    def listener(kind: str, text: str) -> None:
        if text == "publishing":
            seen[0].write_bytes(seen[0].read_bytes() + b" ")

    frame = floats()
    model, sample = saved(tmp_path, SCALED, frame, two_classes(frame))
    options = ConvertOptions(model, sample, tmp_path / "models", "subject", target="target")
    with pytest.raises(ConversionError, match="changed after it was checked"):
        convert(options, listener, sandbox=InProcess(seen.append))
    assert not (tmp_path / "models").exists()


def test_rows_that_depend_on_each_other_are_found(tmp_path: Path) -> None:
    """Something that grows with the number of rows, within parity's limit: only running rows alone can show it."""

    def add_rows(model: ModelProto) -> None:
        graph = model.graph
        last = graph.node[-1]
        graph.initializer.append(numpy_helper.from_array(np.array([1e-3], np.float32), "small"))
        graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "first"))
        nodes = [
            helper.make_node("Shape", [last.input[0]], ["size"]),
            helper.make_node("Gather", ["size", "first"], ["rows"]),
            helper.make_node("Cast", ["rows"], ["rows_float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["rows_float", "small"], ["grows"]),
            helper.make_node("Add", [last.input[0], "grows"], ["shifted"]),
        ]
        for node in nodes:
            graph.node.insert(len(graph.node) - 1, node)
        last.input[0] = "shifted"

    frame = floats()
    published = converted(
        tmp_path,
        BOOSTED,
        frame,
        frame["width"] * 100,
        max_difference=0.05,
        sandbox=InProcess(edited(add_rows)),
    )
    assert published.chosen.passed
    assert not published.manifest.signature.batchable
