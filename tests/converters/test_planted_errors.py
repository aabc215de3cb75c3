"""Graphs that a faulty converter could have written: the parity gate must catch each, and nothing may be
published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
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


def invert_labels(model: ModelProto) -> None:
    """The class that is not the one: 0 for 1 and 1 for 0, after everything else was right."""
    last = next(node for node in model.graph.node if node.output[0] == "label")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    model.graph.node.insert(
        list(model.graph.node).index(last), helper.make_node("Sub", ["one", last.input[0]], ["inverted"])
    )
    last.input[0] = "inverted"


def swap_columns(model: ModelProto) -> None:
    """The first two columns change places before anything reads them."""
    order = numpy_helper.from_array(np.array([1, 0, 2], np.int64), "column_order")
    model.graph.initializer.append(order)
    for node in model.graph.node:
        node.input[:] = ["swapped_columns" if name == "features" else name for name in node.input]
    model.graph.node.insert(
        0, helper.make_node("Gather", ["features", "column_order"], ["swapped_columns"], axis=1)
    )


def answer_in(factor: float) -> Callable[[ModelProto], None]:
    """The last number is in another unit."""

    def edit(model: ModelProto) -> None:
        last = model.graph.node[-1]
        model.graph.initializer.append(numpy_helper.from_array(np.array([factor], np.float32), "unit"))
        model.graph.node.insert(
            len(model.graph.node) - 1, helper.make_node("Mul", [last.input[0], "unit"], ["in_units"])
        )
        last.input[0] = "in_units"

    return edit


def keep_the_scaler_of_last_year(model: ModelProto) -> None:
    """The estimator was trained anew, the graph still has the old preprocessing."""
    scaler = node_of(model, "Scaler")
    attribute(scaler, "offset").floats[:] = [0.1, 0.0, -0.1]
    attribute(scaler, "scale").floats[:] = [1.1, 0.9, 1.0]


def drop_a_feature(model: ModelProto) -> None:
    coefficients = attribute(node_of(model, "LinearRegressor"), "coefficients")
    coefficients.floats[1] = 0.0


def take_missing_for_zero(model: ModelProto) -> None:
    """What replaces a missing value is 0, and not what the imputer learned."""
    learned = node_of(model, "Where").input[1]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == learned)
    zeros = np.zeros_like(numpy_helper.to_array(tensor))
    tensor.CopyFrom(numpy_helper.from_array(zeros, learned))


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
        pytest.param(SCALED, invert_labels, id="an inverted label"),
        pytest.param(SCALED, swap_columns, id="two columns in each other's place"),
        pytest.param(BOOSTED, answer_in(1000.0), id="grams for kilograms"),
        pytest.param(BOOSTED, answer_in(0.9144), id="yards for metres"),
        pytest.param(SCALED, keep_the_scaler_of_last_year, id="stale preprocessing"),
        pytest.param(Ridge(), drop_a_feature, id="a feature that is not looked at"),
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


def test_a_small_answer_beside_a_large_one(tmp_path: Path) -> None:
    """A rate beside a price: of the scale of both together, the rate could be anything."""

    def invert_the_second(model: ModelProto) -> None:
        last = model.graph.node[-1]
        model.graph.initializer.append(numpy_helper.from_array(np.array([1.0, -1.0], np.float32), "signs"))
        model.graph.node.insert(
            len(model.graph.node) - 1, helper.make_node("Mul", [last.input[0], "signs"], ["signed"])
        )
        last.input[0] = "signed"

    frame = floats()
    model = Ridge().fit(frame, np.column_stack([frame["width"] * 1e6, frame["depth"] * 0.01]))
    with pytest.raises(GateRefused, match="answers differ by more than the limit") as refused:
        converted(tmp_path, model, frame, fit=False, sandbox=InProcess(edited(invert_the_second)))
    assert refused.value.gate == "parity"


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


def test_ties_that_rounding_decides_are_told_apart(tmp_path: Path) -> None:
    """A forest on few different rows: 21 labels differ where both classes are equally likely, and nothing else."""
    frame = floats()
    binner = KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf")
    model = make_pipeline(binner, RandomForestClassifier(5, random_state=0))
    with pytest.raises(GateRefused, match=r"\d+ labels differ .*equally likely.*--max-flips \d+ lets"):
        converted(tmp_path, model, frame, two_classes(frame - frame.median()))


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


def test_a_missing_value_that_is_taken_for_zero(tmp_path: Path) -> None:
    frame = floats() + 5.0
    target = frame["width"].copy()
    frame.loc[::4, "width"] = np.nan
    pipeline = make_pipeline(SimpleImputer(), Ridge())
    with pytest.raises(GateRefused) as refused:
        converted(tmp_path, pipeline, frame, target, sandbox=InProcess(edited(take_missing_for_zero)))
    table = refused.value.report["attempts"][0]["table"]
    assert MISSING in {line["set"] for line in table if line["over"]}


def test_a_threshold_behind_a_scaler_is_met_in_another_precision(tmp_path: Path) -> None:
    """Single precision puts rows on the other side of thresholds behind a scaler: refused where it is asked for,
    avoided where it is not."""
    frame = floats() * 1000.0 + 1e6
    target = two_classes(frame - frame.mean())
    scaled_tree = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0))
    with pytest.raises(GateRefused) as refused:
        converted(tmp_path, scaled_tree, frame, target, precision="float32")
    over = [line for line in refused.value.report["attempts"][0]["table"] if line["over"]]
    assert THRESHOLD in {line["set"] for line in over}
    published = converted(tmp_path, scaled_tree, frame, target)
    assert published.chosen.precision != "float32"


def test_a_model_that_learned_the_wrong_way_round(tmp_path: Path) -> None:
    """The graph is faithful; it is the model that is worse than saying the same to everybody."""
    frame = floats()
    model = SCALED.fit(frame, 1 - two_classes(frame))
    with pytest.raises(GateRefused, match=r"accuracy is 0\.\d+, worse than 0\.5\d+ of the baseline") as refused:
        converted(tmp_path, model, frame, two_classes(frame), fit=False)
    assert refused.value.gate == "quality"
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"metric": "r2"}, r"r2 is -.* worse than 0 of the baseline \(always the mean\)", id="mean"),
        pytest.param({"metric": "mae"}, r"mae is .* worse than .* \(always the median\)", id="median"),
        pytest.param({"baseline": "rule", "metric": "mae"}, "column 'rule' of the sample", id="a rule's column"),
        pytest.param({"metric": "rmse", "baseline": "0.01"}, r"worse than 0\.01 .*as given", id="a known figure"),
        pytest.param({"metric": "r2", "baseline": "none", "hurdle": "0.5"}, "the hurdle is 0.5", id="hurdle"),
    ],
)
def test_a_model_that_is_worse_than_the_baseline(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    frame = floats()
    target = frame["width"]
    model, sample = saved(tmp_path, Ridge().fit(frame, -3.0 * frame["width"]), frame, target, fit=False)
    rows = pd.read_parquet(sample).assign(rule=np.round(target, 1))
    rows.to_parquet(sample)
    chosen = ConvertOptions(model, sample, tmp_path / "models", "subject", target="target", **options)
    with pytest.raises(GateRefused, match=says) as refused:
        convert(chosen, lambda kind, text: None, sandbox=InProcess())
    assert refused.value.gate == "quality"
    assert not (tmp_path / "models").exists()


def test_what_passes_says_by_how_much(tmp_path: Path) -> None:
    frame = floats()
    published = converted(tmp_path, Ridge(), frame, frame["width"], metric="r2", hurdle="+0.9")
    gate = published.manifest.gates["quality"]
    assert gate["passed"]
    assert gate["baseline"] == 0.0
    assert gate["hurdle"] == 0.9
    assert gate["figure"] > 0.99


def test_a_constant_is_as_good_as_a_constant(tmp_path: Path) -> None:
    frame = floats()
    constant = Ridge(alpha=1e12)
    published = converted(tmp_path, constant, frame, frame["width"] + 3.0)
    assert published.manifest.gates["quality"]["passed"]


def test_a_model_that_is_too_slow(tmp_path: Path) -> None:
    frame = floats()
    with pytest.raises(
        GateRefused, match=r"one row takes \d+ µs on this machine; the limit is 0\.001 µs"
    ) as refused:
        converted(tmp_path, BOOSTED, frame, frame["width"], max_latency_us=0.001)
    assert refused.value.gate == "speed"
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
