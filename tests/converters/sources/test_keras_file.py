"""Keras models, trained here on its torch backend, published by ``rapide convert``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rapide.converters.errors import ConversionError
from tests.converters.extras import imported, needs
from tests.converters.material import floats
from tests.converters.sources.conftest import Publish, answers

needs("keras", "keras", "torch", "onnxscript")
os.environ["KERAS_BACKEND"] = "torch"
keras = imported("keras")
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # Keras' own
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return (data.images[:400, :, :, None] / 16).astype(np.float32), data.target[:400]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_network_of_images(tmp_path: Path, publish: Publish, suffix: str) -> None:
    keras.utils.set_random_seed(0)
    images, truth = digits()
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10, activation="softmax", name="digit"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, truth, epochs=8, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    found = publish(tmp_path / f"model{suffix}", {"image": images, "t": truth}, target="t", classes=names)
    manifest = found.manifest
    assert [(spec.name, spec.shape) for spec in manifest.signature.inputs] == [("image", (-1, 8, 8, 1))]
    assert manifest.signature.batchable
    assert manifest.predictions[0].name == "probability.zero"
    assert manifest.quality["accuracy"] > 0.8
    wanted = keras.ops.convert_to_numpy(model(images[:5], training=False))
    np.testing.assert_allclose(next(iter(answers(found, {"image": images[:5]}).values())), wanted, atol=1e-5)


def test_columns_of_a_table(tmp_path: Path, publish: Publish) -> None:
    frame = floats()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(frame.to_numpy(np.float32), frame["width"].to_numpy(np.float32), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    found = publish(tmp_path / "model.keras", frame.assign(y=frame["width"]), target="y", baseline="none")
    assert [feature.name for feature in found.manifest.features] == ["width", "height", "depth"]


def test_code_in_a_file_is_not_run(tmp_path: Path, publish: Publish) -> None:
    model: Any = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ConversionError, match=r"Keras cannot open .*lambda"):
        publish(tmp_path / "model.keras", floats())


def test_a_file_that_holds_nothing(tmp_path: Path, publish: Publish) -> None:
    (tmp_path / "model.keras").write_bytes(b"nothing")
    with pytest.raises(ConversionError, match=r"Keras cannot open model\.keras"):
        publish(tmp_path / "model.keras", floats())
