"""The models of the benchmark, made on the spot, and what is sent to them.

The small ones are trained on drawn data: around them a server's own cost shows. The larger one is for the
opposite: there a server should cost next to nothing. Its weights are drawn, not trained, since a run takes as long
with any.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rapide.loadtests.baselines import models
from rapide.loadtests.payloads import Input, Payload, random_payloads

FEATURES = 20
SEED = 20
HIDDEN = (2048, 2048, 2048, 2048)
"""Some 13 million weights: about 2 ms for one row on one core of the machines that this was written on."""
SEQUENCE = 32
"""The size of every dimension, other than the rows, that a user's model leaves open."""
_DATATYPES = {
    "tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL", "tensor(string)": "BYTES",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Workload:
    """A model's name in files and requests, and in words, many and few; ``make`` gives its ONNX file's bytes."""

    name: str
    title: str
    short: str
    make: Callable[[], bytes]


def _logistic_regression() -> bytes:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second of imports, for training alone

    return _trained(LogisticRegression(max_iter=1000))


def _gradient_boosting() -> bytes:
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415 - as above

    return _trained(GradientBoostingClassifier(n_estimators=100, max_depth=5, random_state=SEED))


def _trained(estimator: Any) -> bytes:
    """Input ``X[N,20]``, outputs label and probabilities."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - as above

    random = np.random.default_rng(SEED)
    features = random.normal(size=(2000, FEATURES)).astype(np.float32)
    labels = (features @ random.normal(size=FEATURES) + random.normal(size=2000) > 0).astype(np.int64)
    trained = estimator.fit(features, labels)
    converted = to_onnx(trained, features[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
    content: bytes = converted.SerializeToString()
    return content


def _mlp() -> bytes:
    """Input ``X[N,20]``, output ``probabilities[N,2]``: fully connected layers with ReLU between them."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - as above

    random = np.random.default_rng(SEED)
    sizes = (FEATURES, *HIDDEN, 2)
    nodes, weights, last = [], [], "X"
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        drawn = random.normal(size=(before, after)) * np.sqrt(2 / before)  # He et al. 2015: keeps the scale
        weights.append(numpy_helper.from_array(drawn.astype(np.float32), f"weights_{number}"))
        nodes.append(helper.make_node("MatMul", [last, f"weights_{number}"], [f"layer_{number}"]))
        last = f"layer_{number}"
        if after != sizes[-1]:
            nodes.append(helper.make_node("Relu", [last], [f"hidden_{number}"]))
            last = f"hidden_{number}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"]))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload(
            "logistic-regression",
            f"logistic regression, {FEATURES} features",
            "logistic regression",
            _logistic_regression,
        ),
        Workload(
            "gradient-boosting", "gradient boosting, 100 trees of depth 5", "gradient boosting", _gradient_boosting
        ),
    )
}
LARGER = Workload("mlp", f"MLP of {len(HIDDEN)} hidden layers of {HIDDEN[0]:,}", "MLP", _mlp)


def export(workload: Workload, folder: Path) -> Path:
    """Makes the model and writes ``<folder>/<name>.onnx``."""
    path = folder / f"{workload.name}.onnx"
    path.write_bytes(workload.make())
    return path


def adopt(source: Path, folder: Path) -> Path:
    """Copies a user's model, an ``.onnx`` file or a published version's folder, to ``<folder>/<name>.onnx``.

    Raises FileNotFoundError.
    """
    name = source.stem if source.is_file() else source.resolve().parent.name
    path = folder / f"{name}.onnx"
    shutil.copy(source if source.is_file() else source / "model.onnx", path)
    return path


def payload(model: Path, rows: int) -> Payload:
    """A request of drawn values for the model in that file, by its own description. Raises ValueError for inputs
    whose values we cannot draw."""
    inputs = []
    for spec in models.session(model).get_inputs():
        if spec.type not in _DATATYPES:
            raise ValueError(f"{model}: input {spec.name!r} is {spec.type}; can draw {', '.join(_DATATYPES)}")
        first, *others = (size if isinstance(size, int) else None for size in spec.shape)
        shape = (-1 if first is None else first, *(SEQUENCE if size is None else size for size in others))
        inputs.append(Input(spec.name, _DATATYPES[spec.type], shape))
    return next(random_payloads(model.stem, "", inputs, rows, count=1, seed=SEED))


def answer(model: Path, asked: Payload) -> dict[str, np.ndarray[Any, Any]]:
    """What the bare model answers, by output."""
    session = models.session(model)
    names = [spec.name for spec in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds(asked)), strict=True))


def feeds(asked: Payload) -> dict[str, Any]:
    """The payload as ``session.run`` takes it."""
    return {spec.name: array for spec, array in zip(asked.inputs, asked.arrays, strict=True)}
