"""Existing ONNX files, as other tools write them, published by ``rapide convert``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from rapide.converters.convert import Published, convert
from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.options import ConvertOptions
from rapide.server.signature import DataType
from tests.converters.in_process import InProcess
from tests.converters.material import floats, random, two_classes

NOTHING: dict[str, Any] = {}


def published(folder: Path, model: onnx.ModelProto, sample: Path | None = None, **options: Any) -> Published:
    onnx.save_model(model, folder / "model.onnx")
    chosen = ConvertOptions(folder / "model.onnx", sample, folder / "models", "subject", **options)
    return convert(chosen, lambda kind, text: None, sandbox=InProcess())


def network(batch: int | str, channels: int = 2, *, reshape_to: int | None = None) -> onnx.ModelProto:
    """An image [batch, channels, 4, 4] → the mean of each channel, scaled, [batch, channels]."""
    scale = numpy_helper.from_array(np.arange(1, channels + 1, dtype=np.float32), "scale")
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["means"]),
    ]
    shape = numpy_helper.from_array(np.array([reshape_to or -1, channels], np.int64), "shape")
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, channels, 4, 4])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [batch, channels])],
        [scale, shape],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def answers(found: Published, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(found.folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, rows), strict=True))


def sklearn_graph(frame: Any, model: Any, **options: Any) -> onnx.ModelProto:
    model.fit(frame.to_numpy(), two_classes(frame))
    types = [("X", FloatTensorType([None, frame.shape[1]]))]
    return skl2onnx.convert_sklearn(model, initial_types=types, options={id(model): options}, target_opset=18)


def test_a_table_gives_the_columns_their_names(tmp_path: Path) -> None:
    frame = floats()
    frame.assign(target=two_classes(frame)).to_parquet(tmp_path / "rows.parquet")
    graph = sklearn_graph(frame, LogisticRegression())
    found = published(tmp_path, graph, tmp_path / "rows.parquet", target="target", classes=("no", "yes"))
    manifest = found.manifest
    assert [(feature.name, feature.column) for feature in manifest.features] == [
        ("width", 0), ("height", 1), ("depth", 2),
    ]  # fmt: skip
    assert [each.name for each in manifest.predictions] == ["target", "probability.no", "probability.yes"]
    assert manifest.quality["accuracy"] > 0.9
    assert any("dictionaries became matrices" in note for note in found.notes)
    assert manifest.signature.outputs[1].shape == (-1, 2)
    assert manifest.lineage["estimator"] == "onnx"
    assert manifest.lineage["producer"].startswith("skl2onnx")


def test_missing_values_are_taken_where_the_graph_bears_them(tmp_path: Path) -> None:
    frame = floats()
    frame.to_csv(tmp_path / "rows.csv", index=False)
    bearing = published(
        tmp_path, sklearn_graph(frame, DecisionTreeClassifier(), zipmap=False), tmp_path / "rows.csv"
    )
    assert not bearing.manifest.features[0].required


def test_tensors_of_any_rank(tmp_path: Path) -> None:
    images = random().normal(size=(40, 2, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=images, truth=(images.mean(axis=(2, 3)) * [1, 2]).argmax(axis=1))
    found = published(tmp_path, network("batch"), tmp_path / "rows.npz", target="truth", classes=("left", "right"))
    manifest = found.manifest
    assert [(each.name, each.datatype, each.shape) for each in manifest.signature.inputs] == [
        ("image", DataType.FP32, (-1, 2, 4, 4))
    ]
    assert manifest.signature.batchable
    assert manifest.signature.inputs[0].finite
    assert manifest.quality["accuracy"] == 1.0
    assert [check["set"] for check in manifest.parity["checks"]] == ["real rows", "generated rows"]
    np.testing.assert_allclose(
        answers(found, {"image": images[:3]})["means"], images[:3].mean(axis=(2, 3)) * [1, 2], rtol=1e-5
    )


@pytest.mark.parametrize("metric", ["", "accuracy", "roc_auc", "r2"])
def test_true_answers_that_nothing_can_be_held_against_are_not_passed_over(tmp_path: Path, metric: str) -> None:
    """Else the gate of quality would stand open for who forgot --classes."""
    images = random().normal(size=(40, 2, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=images, truth=images.mean(axis=(2, 3)).argmax(axis=1))
    with pytest.raises(ConversionError) as refused:
        published(tmp_path, network("batch"), tmp_path / "rows.npz", target="truth", metric=metric)
    assert "means [2]" in str(refused.value)
    assert "--classes" in refused.value.hint
    assert not (tmp_path / "models").exists()


def test_a_table_whose_graph_answers_several_columns_needs_their_classes(tmp_path: Path) -> None:
    frame = floats()
    weights = numpy_helper.from_array(np.eye(3, dtype=np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["logits"])],
        "three",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    frame.assign(best=frame.to_numpy().argmax(axis=1)).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ConversionError, match=r"logits \[3\]"):
        published(tmp_path, model, tmp_path / "rows.parquet", target="best")
    found = published(tmp_path, model, tmp_path / "rows.parquet", target="best", classes=("a", "b", "c"))
    assert found.manifest.quality["accuracy"] == 1.0


def test_texts_without_classes_are_no_true_answers(tmp_path: Path) -> None:
    images = random().normal(size=(40, 2, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=images, truth=np.array(["left", "right"] * 20))
    with pytest.raises(ConversionError, match="texts \\('left'\\)") as refused:
        published(tmp_path, network("batch"), tmp_path / "rows.npz", target="truth")
    assert "--classes" in refused.value.hint


def test_numbers_are_measured_without_a_metric_too(tmp_path: Path) -> None:
    images = random().normal(size=(40, 1, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=images, truth=images.mean(axis=(1, 2, 3)))
    found = published(tmp_path, network("batch", 1), tmp_path / "rows.npz", target="truth")
    assert found.manifest.quality["r2"] > 0.99
    assert found.manifest.gates["quality"]["passed"]


def test_without_a_sample_rows_are_made_up_and_it_is_said(tmp_path: Path) -> None:
    found = published(tmp_path, network("batch"))
    assert found.notes == ("no --sample: compared on made-up rows; real ones would prove more",)
    assert found.manifest.lineage["sample"]["name"] == "made up"


def test_a_fixed_batch_is_freed_where_the_graph_bears_it(tmp_path: Path) -> None:
    found = published(tmp_path, network(1))
    assert found.manifest.signature.inputs[0].shape == (-1, 2, 4, 4)
    assert "takes exactly 1 row at a time; the published graph takes any number" in found.notes[0]
    assert len(answers(found, {"image": np.zeros((5, 2, 4, 4), np.float32)})["means"]) == 5


def centred(*before: onnx.NodeProto) -> onnx.ModelProto:
    """[n, 3] → each number less the mean of its column over the rows; ``before`` makes ``x`` of ``features``."""
    nodes = [
        *(before or [helper.make_node("Identity", ["features"], ["x"])]),
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "centred",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("kind", ["made up", "arrays", "a table"])
def test_rows_that_depend_on_each_other_are_compared_as_they_were_asked(tmp_path: Path, kind: str) -> None:
    frame = floats(1300).astype(np.float32)  # more rows than the graph is otherwise run with at a time
    paths = {"made up": None, "arrays": tmp_path / "rows.npz", "a table": tmp_path / "rows.parquet"}
    np.savez(tmp_path / "rows.npz", features=frame.to_numpy())
    frame.to_parquet(tmp_path / "rows.parquet")
    found = published(tmp_path, centred(), paths[kind])
    assert not found.manifest.signature.batchable
    assert [check["set"] for check in found.manifest.parity["checks"]][1:2] == ["a few rows"]
    with np.load(found.folder / "golden.npz") as golden:
        name = found.manifest.signature.inputs[0].name
        rows = golden[f"input:{name}"]
        np.testing.assert_allclose(golden["output:y"], rows - rows.mean(axis=0), atol=1e-5)


def logarithm(*, less: float) -> onnx.ModelProto:
    """[n, 3] → the logarithm of x − ``less``, which is NaN where that is below zero."""
    graph = helper.make_graph(
        [helper.make_node("Sub", ["features", "less"], ["x"]), helper.make_node("Log", ["x"], ["y"])],
        "logarithm",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array([less], np.float32), "less")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_a_model_that_answers_only_nan_is_refused(tmp_path: Path, ending: str) -> None:
    frame = floats().abs().astype(np.float32)
    np.savez(tmp_path / "rows.npz", features=frame.to_numpy())
    frame.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(GateRefused, match="answers all 120 real rows with NaN or infinity in 'y'"):
        published(tmp_path, logarithm(less=100.0), tmp_path / f"rows.{ending}")
    assert not (tmp_path / "models").exists()


def test_a_model_that_sometimes_answers_nan_is_noted(tmp_path: Path) -> None:
    rows = np.full((40, 3), 2.0, np.float32)
    rows[:10, 0] = 0.5
    np.savez(tmp_path / "rows.npz", features=rows)
    found = published(tmp_path, logarithm(less=1.0), tmp_path / "rows.npz")
    assert "10 of 40 real rows are answered with NaN or infinity in 'y'" in found.notes


def test_a_model_of_chance_is_told_so(tmp_path: Path) -> None:
    noise = [
        helper.make_node("RandomNormalLike", ["features"], ["noise"]),
        helper.make_node("Add", ["features", "noise"], ["x"]),
    ]
    with pytest.raises(GateRefused, match="draws its answers by chance: asked about the same") as refused:
        published(tmp_path, centred(*noise))
    assert "Take out what is random" in refused.value.hint


@pytest.mark.parametrize(
    ("model", "sample", "message"),
    [
        pytest.param(
            network(2, reshape_to=2), NOTHING, "works for exactly 2 rows at a time", id="batch in the graph"
        ),
        pytest.param(
            network("n"), {"picture": (3, 1, 4, 4)}, r"shape \['rows', 2, 4, 4\].* \[3, 1, 4, 4\]", id="shape"
        ),
        pytest.param(
            network("n"), {"a": (3, 2), "b": (3, 2)}, "takes 'image'; the sample has 'a', 'b'", id="names"
        ),
        pytest.param(network("n"), {"a": (3, 2), "b": (2, 2)}, "rows; each must have as many", id="lengths"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, model: onnx.ModelProto, sample: dict[str, tuple[int, ...]], message: str
) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, **{name: np.zeros(shape, np.float32) for name, shape in sample.items()})
    with pytest.raises(ConversionError) as refused:
        published(tmp_path, model, path if sample else None)
    assert re.search(message, str(refused.value))
    assert not (tmp_path / "models").exists()


def test_a_table_for_images(tmp_path: Path) -> None:
    floats().to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ConversionError, match=r"the sample's columns do not fit .* image FP32 .* \.npz"):
        published(tmp_path, network("n"), tmp_path / "rows.parquet")


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x07"], ids=["empty", "text", "no nodes"])
def test_what_is_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    options = ConvertOptions(tmp_path / "model.onnx", None, tmp_path / "models", "subject")
    with pytest.raises(ConversionError, match=r"is no ONNX model|has no graph"):
        convert(options, lambda kind, text: None, sandbox=InProcess())
