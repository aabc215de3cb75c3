"""Loading: what is refused, what is learned, what is measured; with real files and the real runtime."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from rapide.server.errors import BrokenVersion, InvalidRequest
from rapide.server.model import Model, SessionOptions, load_model
from rapide.server.repository.manifest import Feature, Prediction
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.repository.variant import Variant
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import Array
from tests import models
from tests.versions import entry_of, golden_rows, publish_version, signature_of

X = np.arange(8, dtype=np.float32).reshape(2, 4)
Y = X @ models.LINEAR_WEIGHTS + models.LINEAR_BIAS


def load_bare(root: Path, model: onnx.ModelProto) -> Model:
    models.repository(root, {"m": {1: model}})
    return load_model(entry_of(root, "m"), SessionOptions())


def load_published(root: Path, model: onnx.ModelProto, **version: object) -> Model:
    publish_version(root, "m", model, **version)  # type: ignore[arg-type]
    return load_model(entry_of(root, "m"), SessionOptions())


def test_a_bare_file_gets_its_signature_from_the_graph(tmp_path: Path) -> None:
    model = load_bare(tmp_path, models.linear())
    assert (model.name, model.version, model.manifest) == ("m", "1", None)
    assert model.digest.startswith("sha256:")
    assert len(model.digest) == 71
    assert model.signature == signature_of(models.linear())
    assert np.allclose(model.run([X])[0], Y)
    assert 0 < model.run_us < 1e6


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "batchable"),
    [
        (models.classifier(), [(-1, 2)], [(-1,), (-1, 2)], True),
        (models.sequence(), [(-1, -1)], [(-1, -1)], True),
        (models.no_batch_dimension(), [(3,)], [(3,)], False),
        (models.scalar(), [()], [()], False),
        (models.cross_row(), [(-1, 2)], [(-1, 2)], False),
        (models.selection(), [(-1,)], [(-1,)], False),
    ],
    ids=["classifier", "sequence", "no batch", "scalar", "cross row", "selection"],
)
def test_signatures_of_bare_files(
    tmp_path: Path,
    model: onnx.ModelProto,
    inputs: list[tuple[int, ...]],
    outputs: list[tuple[int, ...]],
    batchable: bool,
) -> None:
    signature = load_bare(tmp_path, model).signature
    assert [spec.shape for spec in signature.inputs] == inputs
    assert [spec.shape for spec in signature.outputs] == outputs
    assert signature.batchable is batchable


def test_an_output_that_declares_no_shape_is_observed(tmp_path: Path) -> None:
    model = models.linear()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert load_bare(tmp_path, model).signature.outputs[0].shape in ((-1, 3), (-1, -1))


def test_an_output_that_declares_a_wrong_batch_is_corrected(tmp_path: Path) -> None:
    """Exporters that trace one row write 1 where the rows go; the runtime only warns."""
    model = models.linear()
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    loaded = load_bare(tmp_path, model)
    assert loaded.signature.batchable
    assert loaded.signature.outputs[0].shape == (-1, 3)


def test_a_published_version_keeps_its_manifests_signature(tmp_path: Path) -> None:
    signature = Signature(
        (TensorSpec("x", DataType.FP32, (-1, 4), finite=True),), signature_of(models.linear()).outputs, True
    )
    model = load_published(tmp_path, models.linear(), signature=signature)
    assert model.signature is model.manifest.signature  # type: ignore[union-attr]
    assert model.signature.inputs[0].finite


def test_golden_rows_are_answered_at_load(tmp_path: Path) -> None:
    model = load_published(tmp_path, models.linear(), golden=golden_rows({"x": X}, {"y": Y}))
    assert model.sample_row[0].tolist() == X[:1].tolist()


def test_a_version_whose_golden_answers_differ_is_broken(tmp_path: Path) -> None:
    with pytest.raises(BrokenVersion, match="output 'y' of its golden rows has"):
        load_published(tmp_path, models.linear(), golden=golden_rows({"x": X}, {"y": Y + 0.1}))


def test_the_tolerance_is_the_manifests(tmp_path: Path) -> None:
    parity = {"tolerance": {"relative": 0.0, "absolute": 0.2}}
    load_published(tmp_path, models.linear(), golden=golden_rows({"x": X}, {"y": Y + 0.1}), parity=parity)


def test_a_manifest_that_contradicts_the_graph_is_broken(tmp_path: Path) -> None:
    wrong = Signature((TensorSpec("x", DataType.FP32, (-1, 5)),), signature_of(models.linear()).outputs, True)
    with pytest.raises(BrokenVersion, match=r"input 'x' has shape \[-1, 5\]; in the graph"):
        load_published(tmp_path, models.linear(), signature=wrong)


def test_a_manifest_whose_names_lead_nowhere_is_broken(tmp_path: Path) -> None:
    """Otherwise the version would take the place of a good one, and fail each call by names."""
    features = [Feature("a", "nowhere", 0, "number", required=True)]
    with pytest.raises(BrokenVersion, match="feature 'a' into an input that is not there"):
        load_published(tmp_path / "1", models.linear(), features=features)
    features = [Feature(name, "x", column, "number", required=True) for column, name in enumerate("abcd")]
    with pytest.raises(BrokenVersion, match="reads 'p' from an output that is not there"):
        load_published(
            tmp_path / "2",
            models.linear(),
            features=features,
            predictions=[Prediction("p", "nowhere", None, "number")],
        )


def test_a_file_that_was_changed_after_publishing_is_broken(tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.linear())
    entry = entry_of(tmp_path, "m")
    content = models.linear(2.0).SerializeToString()
    os.chmod(entry.model_path, 0o644)
    entry.model_path.write_bytes(content)
    with pytest.raises(BrokenVersion, match=r"model.onnx (was changed|has \d+ bytes)"):
        load_model(entry, SessionOptions())


def test_external_weights_must_be_published(tmp_path: Path) -> None:
    weights = models.LINEAR_WEIGHTS.tobytes()
    model = load_published(tmp_path, models.external("weights.bin"), files={"weights.bin": weights})
    assert np.allclose(model.run([X])[0], Y)


def test_external_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(models.LINEAR_WEIGHTS.tobytes())
    with pytest.raises(BrokenVersion, match="may lead out of its folder"):
        load_bare(tmp_path / "models", models.external("../../../weights.bin"))


def test_an_oversized_file_is_refused(tmp_path: Path) -> None:
    models.repository(tmp_path, {"m": {1: models.linear()}})
    with pytest.raises(BrokenVersion, match="it is longer than 100 bytes"):
        load_model(entry_of(tmp_path, "m"), SessionOptions(max_model_bytes=100))


def test_a_vanished_file_is_broken(tmp_path: Path) -> None:
    models.repository(tmp_path, {"m": {1: models.linear()}})
    entry = entry_of(tmp_path, "m")
    entry.model_path.unlink()
    with pytest.raises(BrokenVersion, match=r"model\.onnx cannot be read"):
        load_model(entry, SessionOptions())


def test_a_model_that_cannot_be_measured_is_served_all_the_same(tmp_path: Path) -> None:
    model = load_bare(tmp_path, models.failing())
    assert model.run_us == 1000.0
    assert not model.signature.batchable


@pytest.mark.parametrize("is_published", [False, True])
def test_an_empty_batch_gets_an_empty_answer(tmp_path: Path, is_published: bool) -> None:
    load = load_published if is_published else load_bare
    label, probabilities = load(tmp_path, models.classifier()).run([np.zeros((0, 2), np.float32)])
    assert (label.shape, label.dtype, probabilities.shape) == ((0,), np.int64, (0, 2))


def test_an_empty_batch_keeps_the_sizes_that_the_request_chose(tmp_path: Path) -> None:
    model = load_bare(tmp_path, models.sequence())
    assert model.run([np.zeros((0, 17), np.float32)])[0].shape == (0, 17)
    assert model.run([np.zeros((0, 0), np.float32)])[0].shape == (0, 0)
    assert model.run([np.zeros((2, 0), np.float32)])[0].shape == (2, 0)


def test_an_empty_batch_of_a_recurrent_model(tmp_path: Path) -> None:
    """Given to the runtime as it is, it would end the process."""
    model = load_bare(tmp_path, models.recurrent())
    assert model.signature.batchable
    assert model.run([np.zeros((0, 7, 3), np.float32)])[0].shape == (0, 2)
    with pytest.raises(InvalidRequest, match=r"'x' has shape \[2, 0, 3\]; the model cannot take"):
        model.run([np.zeros((2, 0, 3), np.float32)])
    with pytest.raises(InvalidRequest, match="cannot take an empty dimension"):
        model.run([np.zeros((0, 0, 3), np.float32)])


def test_an_empty_batch_of_a_model_whose_rows_may_not_be_merged(tmp_path: Path) -> None:
    model = load_bare(tmp_path, models.cross_row())
    assert model.run([np.zeros((0, 2), np.float32)])[0].shape == (0, 2)


def test_an_empty_batch_of_text(tmp_path: Path) -> None:
    model = load_bare(tmp_path, models.identity(DataType.BYTES, ("N", "T")))
    assert model.run([np.empty((0, 9), object)])[0].shape == (0, 9)


def test_an_empty_request_to_a_model_without_rows_is_the_models_business(tmp_path: Path) -> None:
    model = load_bare(tmp_path, models.selection())
    assert model.run([np.zeros(0, np.float32)])[0].shape == (0,)


def test_runs_on_many_threads_do_not_mix(tmp_path: Path) -> None:
    model = load_bare(tmp_path, models.lookup())
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: model.run([np.array([number % 8])])[0].tolist(), range(400)))
    assert answers == [[number % 8 * 10] for number in range(400)]


def test_poison_is_the_callers_fault(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="out of data bounds"):
        load_bare(tmp_path, models.lookup()).run([np.array([1, 99])])


DEFAULT = Variant("double", "model.onnx", True, tolerance={"relative": 0.0, "absolute": 1000.0})
OTHER = Variant("single", "variants/single.onnx", False)


def publish_variants(root: Path, *variants: Variant, other: onnx.ModelProto | None = None) -> VersionEntry:
    """Two forms that can be told apart: the default answers twice what ``single``, the golden rows' own, does."""
    content = (other or models.linear()).SerializeToString()
    golden = golden_rows({"x": X}, {"y": Y})
    publish_version(root, "m", models.linear(2.0), golden=golden, files={OTHER.file: content}, variants=variants)
    return entry_of(root, "m")


@pytest.mark.parametrize(
    ("name", "loaded", "scale"), [("", "double", 2), ("double", "double", 2), ("single", "single", 1)]
)
def test_a_variant_is_loaded_by_name(tmp_path: Path, name: str, loaded: str, scale: int) -> None:
    entry = publish_variants(tmp_path, DEFAULT, OTHER)
    model = load_model(entry, SessionOptions(), name)
    assert model.variant == loaded
    assert model.digest == entry.digest  # whichever was loaded: it names the version
    assert np.allclose(model.run([X])[0], X @ models.LINEAR_WEIGHTS * scale + models.LINEAR_BIAS)


def test_a_variant_that_this_processor_lacks_something_for_gives_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = publish_variants(tmp_path, replace(DEFAULT, needs_cpu=("no_such_flag",)), OTHER)
    assert load_model(entry, SessionOptions()).variant == "single"
    assert "'single' is loaded instead" in caplog.text
    with pytest.raises(BrokenVersion, match="its variant 'double' needs a processor with no_such_flag"):
        load_model(entry, SessionOptions(), "double")


def test_each_variant_is_held_to_the_golden_rows(tmp_path: Path) -> None:
    entry = publish_variants(tmp_path, replace(DEFAULT, tolerance={}), OTHER)
    load_model(entry, SessionOptions(), "single")
    with pytest.raises(BrokenVersion, match="output 'y' of its golden rows has"):
        load_model(entry, SessionOptions())


def test_an_unknown_variant_is_named(tmp_path: Path) -> None:
    publish_version(tmp_path, "m", models.linear())
    with pytest.raises(BrokenVersion, match="it has no variant 'int8'; variants there are: none"):
        load_model(entry_of(tmp_path, "m"), SessionOptions(), "int8")


def test_a_variants_weights_lie_beside_it(tmp_path: Path) -> None:
    """Not beside ``model.onnx``: paths in an ONNX file start at its own folder."""
    weights = models.LINEAR_WEIGHTS.tobytes()
    variants = (DEFAULT, OTHER)
    content = models.external("single.bin").SerializeToString()
    files = {OTHER.file: content, "single.bin": weights}
    publish_version(tmp_path, "m", models.linear(2.0), files=files, variants=variants)
    with pytest.raises(BrokenVersion, match=r"'single\.bin', which its manifest does not list"):
        load_model(entry_of(tmp_path, "m"), SessionOptions(), "single")
    publish_version(
        tmp_path, "m", models.linear(2.0), files={**files, "variants/single.bin": weights}, variants=variants
    )
    assert np.allclose(load_model(entry_of(tmp_path, "m", 2), SessionOptions(), "single").run([X])[0], Y)


class CountedSession:
    """A session that notes how many rows each run had."""

    def __init__(self, model: Model) -> None:
        self._session = model.session
        self.rows: list[int] = []

    def run(self, arrays: list[Array]) -> list[Array]:
        self.rows.append(arrays[0].shape[0])
        return self._session.run(arrays)


@pytest.mark.parametrize("graph", [models.classifier(), models.text_classifier(), models.sequence()])
def test_a_batch_in_parts_is_answered_as_a_whole_one(tmp_path: Path, graph: onnx.ModelProto) -> None:
    whole = load_bare(tmp_path, graph)

    @given(rows=st.integers(0, 100), most=st.integers(1, 120))
    def check(rows: int, most: int) -> None:
        session = CountedSession(whole)
        parts = replace(whole, session=session, max_rows_per_run=most)  # type: ignore[arg-type]
        batch = [np.random.default_rng(rows).standard_normal((rows, 2)).astype(np.float32)]
        for found, expected in zip(parts.run(batch), whole.run(batch), strict=True):
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert found.tolist() == expected.tolist()
        assert max(session.rows) <= most
        assert sum(session.rows) == max(rows, 1)

    check()


def _makes() -> onnx.ModelProto:
    """A number of seats and one of two makes, as one model takes them."""
    encoder = helper.make_node(
        "OneHotEncoder", ["make"], ["flags"], domain="ai.onnx.ml", cats_strings=["Ford", "Opel"], zeros=0
    )
    flags = helper.make_node("Reshape", ["flags", "two"], ["flat"])
    total = helper.make_node("Add", ["seats", "flat"], ["y"])
    seats = models.port("seats", TensorProto.FLOAT, ("N", 1))
    make, y = models.port("make", TensorProto.STRING, ("N", 1)), models.port("y", TensorProto.FLOAT, ("N", 2))
    return models.build([encoder, flags, total], [seats, make], [y], {"two": np.array([-1, 2])})


MAKES = ("Ford", "Opel")
EXPECTED = "make: expected one of 'Ford', 'Opel'"


@pytest.mark.parametrize(
    ("categories", "given", "words"),
    [
        (MAKES, [b"Opel", b"Frod"], f"{EXPECTED}, got the text 'Frod' in row 1"),
        (MAKES, [b"Opel"] * 5 + [b"\xc3\x84"], f"{EXPECTED}, got the text 'Ä' in row 5"),
        (
            (),
            [b"Frod"],
            "the model refuses this input: a value in it is none of the categories that it was trained on",
        ),
    ],
    ids=["typo", "in the last of three parts", "a manifest without categories"],
)
def test_an_unknown_category_is_named_with_its_place(
    tmp_path: Path, categories: tuple[str, ...], given: list[bytes], words: str
) -> None:
    features = [
        Feature("seats", "seats", 0, "number", required=True),
        Feature("make", "make", 0, "text", required=True, categories=categories),
    ]
    publish_version(tmp_path, "m", _makes(), features=features)
    model = load_model(entry_of(tmp_path, "m"), SessionOptions(max_rows_per_run=2))
    seats = np.zeros((len(given), 1), np.float32)
    with pytest.raises(InvalidRequest) as caught:
        model.run([seats, np.array([[text] for text in given], object)])
    assert caught.value.message == words


def test_rows_that_depend_on_each_other_are_never_parted(tmp_path: Path) -> None:
    models.repository(tmp_path, {"m": {1: models.cross_row()}})
    model = load_model(entry_of(tmp_path, "m"), SessionOptions(max_rows_per_run=1))
    (answer,) = model.run([np.array([[1, 1], [3, 3]], np.float32)])
    assert answer.tolist() == [[-1, -1], [1, 1]]
