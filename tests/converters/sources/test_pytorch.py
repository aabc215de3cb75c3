"""PyTorch modules, trained here, published by ``rapide convert``."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rapide.converters.errors import ConversionError
from tests.converters.extras import imported, needs
from tests.converters.material import floats, random
from tests.converters.sources.conftest import Publish, answers

needs("torch", "torch", "onnxscript")
torch = imported("torch")
modules = imported("tests.converters.sources.modules")


def saved(folder: Path, module: Any) -> Path:
    torch.save(module, folder / "model.pt")
    return folder / "model.pt"


def program(folder: Path, module: Any, example: Any, *, rows_are_free: bool = True) -> Path:
    free = ({0: torch.export.Dim("rows")},) if rows_are_free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.export.export(module.eval(), (example,), dynamic_shapes=free)
        torch.export.save(found, folder / "model.pt2")
    return folder / "model.pt2"


def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return (data.images[:600, None] / 16).astype(np.float32), data.target[:600]


@pytest.mark.parametrize("form", ["module", "program"])
def test_a_network_of_images(tmp_path: Path, publish: Publish, form: str) -> None:
    images, truth = digits()
    network = modules.trained(
        modules.Digits(), torch.from_numpy(images), torch.from_numpy(truth), torch.nn.functional.cross_entropy
    )
    path = (
        saved(tmp_path, network) if form == "module" else program(tmp_path, network, torch.from_numpy(images[:2]))
    )
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    found = publish(path, {"image": images, "digit": truth}, target="digit", classes=names)
    manifest = found.manifest
    assert manifest.signature.inputs[0].shape == (-1, 1, 8, 8)
    assert manifest.signature.batchable
    assert manifest.quality["accuracy"] > 0.9
    assert [each.name for each in manifest.predictions][:2] == ["score.zero", "score.one"]
    assert manifest.lineage["versions"]["torch"].startswith("2.")
    content = (found.folder / "model.onnx").read_bytes()
    assert str(tmp_path).encode() not in content
    assert b"site-packages" not in content  # the exporter notes stack traces
    network.eval()
    with torch.no_grad():
        wanted = network(torch.from_numpy(images[:7])).numpy()
    np.testing.assert_allclose(answers(found, {"image": images[:7]})["output"], wanted, rtol=1e-4, atol=1e-4)


def test_columns_of_a_table(tmp_path: Path, publish: Publish) -> None:
    frame = floats()
    truth = frame["width"] * 2 + frame["depth"]
    tensors = [torch.from_numpy(np.array(each, dtype=np.float32)) for each in (frame, truth.to_frame())]
    network = modules.trained(modules.Regression(), *tensors, torch.nn.functional.mse_loss, steps=200)
    found = publish(saved(tmp_path, network), frame.assign(price=truth), target="price")
    assert [(each.name, each.column) for each in found.manifest.features] == [
        ("width", 0), ("height", 1), ("depth", 2),
    ]  # fmt: skip
    assert [each.name for each in found.manifest.predictions] == ["price"]
    assert found.manifest.quality["r2"] > 0.8
    assert [spec.name for spec in found.manifest.signature.inputs] == ["features"]


def test_several_inputs_and_outputs(tmp_path: Path, publish: Publish) -> None:
    rows = {
        "right": random(2).normal(size=(40, 2)),  # doubles, in another order: they become what the weights are
        "left": random(1).normal(size=(40, 3)),
    }
    found = publish(saved(tmp_path, modules.TwoHeads()), rows)
    signature = found.manifest.signature
    assert [(spec.name, spec.shape) for spec in signature.inputs] == [("left", (-1, 3)), ("right", (-1, 2))]
    assert [(spec.name, spec.shape) for spec in signature.outputs] == [("mean", (-1, 1)), ("shares", (-1, 4))]


ROWS = {"x": random().normal(size=(6, 3)).astype(np.float32)}


@pytest.mark.parametrize(
    ("module", "message"),
    [
        pytest.param(
            modules.FixedRows(),
            r"insists on the number of rows of its example.* dimension \S*\bx\b\S*\.shape\[0\]",
            id="rows",
        ),
        pytest.param(modules.Flattened(), r"'output' has 18 rows where 6 were given", id="rows of answers"),
        pytest.param(modules.Branching(), r"torch\.export cannot follow the module: .* torch\.where", id="branch"),
        pytest.param(modules.Regression(5), r"fails on the sample's first rows.* x float32 \[6, 3\]", id="width"),
        pytest.param(modules.Regression().state_dict(), "holds a state_dict, not a module", id="weights alone"),
        pytest.param(modules.TwoHeads(), "forward takes left, right; the sample has x", id="names"),
    ],
)
def test_what_cannot_be_converted_is_said(tmp_path: Path, publish: Publish, module: Any, message: str) -> None:
    with pytest.raises(ConversionError) as refused:
        publish(saved(tmp_path, module), ROWS)
    assert re.search(message, str(refused.value), re.DOTALL)
    assert not (tmp_path / "models").exists()


def test_a_program_for_one_number_of_rows(tmp_path: Path, publish: Publish) -> None:
    path = program(tmp_path, modules.Regression(), torch.zeros(4, 3), rows_are_free=False)
    with pytest.raises(ConversionError, match="exported for exactly 4 rows"):
        publish(path, ROWS)


def test_a_file_that_is_cut_off(tmp_path: Path, publish: Publish) -> None:
    path = saved(tmp_path, modules.Regression())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ConversionError, match=r"model\.pt cannot be opened"):
        publish(path, ROWS)
