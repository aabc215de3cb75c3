"""Example calls: what they hold for each kind of model, and that what is shown is what the model takes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rapide.server.codecs import tf_rest
from rapide.server.codecs.named import predict_codec
from rapide.server.codecs.oip_json import decode_request
from rapide.server.examples import Example, example_of, example_request
from rapide.server.model import Model
from rapide.server.repository.manifest import Feature, FileRecord, Manifest
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import Array, bind


@dataclass
class FakeModel:
    signature: Signature
    sample_row: list[Array]
    manifest: Manifest | None = None
    name: str = "m"


def model_of(*inputs: tuple[str, DataType, Array]) -> FakeModel:
    specs = tuple(TensorSpec(name, datatype, (-1, *array.shape[1:])) for name, datatype, array in inputs)
    return FakeModel(Signature(specs, (), batchable=True), [array for _, _, array in inputs])


def texts(*values: bytes) -> Array:
    array = np.empty((1, len(values)), object)
    array[0, :] = values
    return array


def decoded(model: FakeModel, example: Example) -> list[Array]:
    """The example's arrays, read by the codecs that a server would use."""
    body = example.body
    if example.is_script:
        body = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True).stdout
    if example.path.endswith(":predict"):
        features = model.manifest.features if model.manifest else ()
        request, _ = predict_codec(model.signature, features).request(tf_rest.decode_request(body.encode()))
    else:
        request, _ = decode_request(body.encode(), None, "m")
    return bind(request, model.signature)


def made(model: FakeModel) -> Example:
    example = example_of(model)
    assert example is not None
    return example


def test_tensors_in_the_protocols_own_json() -> None:
    model = model_of(
        ("x", DataType.FP32, np.array([[1.5, -0.33333334]], np.float32)),
        ("fuel", DataType.BYTES, texts("diésel".encode())),
        ("new", DataType.BOOL, np.array([[True]])),
        ("seats", DataType.INT64, np.array([[2**60]])),
    )
    example = made(model)
    assert example.path == "/v2/models/m/infer"
    tensors = {tensor["name"]: tensor for tensor in json.loads(example.body)["inputs"]}
    assert tensors["x"] == {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, -0.333333]}
    assert tensors["fuel"]["data"] == ["diésel"]
    assert tensors["new"]["data"] == [True]
    assert [array.tolist() for array in decoded(model, example)][1:] == [
        [["diésel".encode()]],
        [[True]],
        [[2**60]],
    ]


def test_a_request_for_programs_is_exact() -> None:
    value = np.array([[-0.33333334, float("nan")]], np.float32)
    model = model_of(("x", DataType.FP32, value), ("fuel", DataType.BYTES, texts("diésel".encode())))
    request = example_request(model)
    assert request is not None
    number, text = request["inputs"]
    assert np.array(number["data"], np.float32).tobytes() == value.tobytes()
    assert text == {"name": "fuel", "shape": [1, 1], "datatype": "BYTES", "data": ["diésel"]}


@pytest.mark.parametrize(
    "model",
    [
        model_of(("x", DataType.FP16, np.zeros((1, 1), np.float16))),
        model_of(("x", DataType.BYTES, texts(b"\xff"))),
        model_of(("x", DataType.UINT8, np.zeros((1, 1001, 1000), np.uint8))),
        FakeModel(Signature((TensorSpec("x", DataType.FP32, (-1,)),), (), batchable=True), []),
    ],
    ids=["no JSON form", "no text", "too large", "no row"],
)
def test_no_request_where_none_can_be_said(model: FakeModel) -> None:
    assert example_request(model) is None


@pytest.mark.parametrize(
    ("datatype", "dtype"), [(DataType.FP16, np.dtype(np.float16)), (DataType.BF16, np.dtype(ml_dtypes.bfloat16))]
)
def test_datatypes_that_the_protocols_json_lacks(datatype: DataType, dtype: np.dtype[Any]) -> None:
    model = model_of(("x", datatype, np.array([[0.5, 2.0]], dtype)))
    example = made(model)
    assert (example.path, example.body) == ("/v1/models/m:predict", '{"inputs": {"x": [[0.5, 2.0]]}}')
    assert decoded(model, example)[0].astype(float).tolist() == [[0.5, 2.0]]


def test_large_inputs_are_printed_by_a_program() -> None:
    model = model_of(
        ("image", DataType.FP32, np.ones((1, 3, 32, 32), np.float32)), ("tag", DataType.BYTES, texts(b""))
    )
    example = made(model)
    assert example.is_script
    assert len(example.body) < 300
    assert [array.shape for array in decoded(model, example)] == [(1, 3, 32, 32), (1, 1)]


def test_a_manifests_features_by_name_without_what_is_missing() -> None:
    packed = np.array([[2014.0, float("nan"), 1.0]], np.float32)
    model = model_of(("numbers", DataType.FP32, packed), ("make", DataType.BYTES, texts(b"Ford")))
    model.manifest = Manifest(
        model="m",
        version=1,
        created="2026-01-01T00:00:00Z",
        files={"model.onnx": FileRecord("0" * 64, 1)},
        signature=model.signature,
        features=(
            Feature("year", "numbers", 0, "integer", required=True),
            Feature("mileage", "numbers", 1, "number", required=False),
            Feature("warranty", "numbers", 2, "boolean", required=True),
            Feature("make", "make", None, "text", required=True),
        ),
    )
    example = made(model)
    assert example.path == "/v1/models/m:predict"
    assert json.loads(example.body) == {"instances": [{"year": 2014, "warranty": True, "make": "Ford"}]}
    np.testing.assert_array_equal(decoded(model, example)[0], packed)


@pytest.mark.parametrize(
    "model",
    [
        FakeModel(Signature((TensorSpec("x", DataType.FP32, (-1,)),), (), batchable=True), []),
        model_of(("x", DataType.BYTES, texts(b"\xff"))),
    ],
    ids=["no row is known", "not text"],
)
def test_where_no_example_can_be_made_there_is_none(model: FakeModel) -> None:
    assert example_of(model) is None


def test_the_fake_has_what_a_model_has() -> None:
    assert set(FakeModel.__dataclass_fields__) <= set(Model.__dataclass_fields__)
