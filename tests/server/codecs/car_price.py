"""A model of every kind of feature and prediction, as a manifest describes it, for the tests of named columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rapide.server.repository.manifest import Feature, Prediction
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import InferResponse, OutputTensor

SIGNATURE = Signature(
    inputs=(
        TensorSpec("make", DataType.BYTES, (-1, 1)),
        TensorSpec("numbers", DataType.FP32, (-1, 3)),
        TensorSpec("doors", DataType.INT64, (-1, 1)),
        TensorSpec("automatic", DataType.BOOL, (-1,)),
    ),
    outputs=(
        TensorSpec("price", DataType.FP32, (-1, 1)),
        TensorSpec("label", DataType.INT64, (-1,)),
        TensorSpec("probabilities", DataType.FP32, (-1, 2)),
        TensorSpec("remark", DataType.BYTES, (-1,)),
    ),
    batchable=True,
)
FEATURES = (
    Feature("make", "make", None, "text", required=False, categories=("Ford", "Opel"), missing="unknown"),
    Feature("mileage", "numbers", 0, "number", required=True, unit="km"),
    Feature("year", "numbers", 2, "integer", required=True),
    Feature("owners", "numbers", 1, "number", required=False, missing=math.nan),
    Feature("doors", "doors", None, "integer", required=False, missing=-1.0),
    Feature("automatic", "automatic", None, "boolean", required=True),
)
PREDICTIONS = (
    Prediction("price", "price", None, "number", unit="EUR"),
    Prediction("deal", "label", None, "integer", classes=("poor", "good")),
    Prediction("probability.good", "probabilities", 1, "number"),
    Prediction("remark", "remark", None, "text"),
)


def row(**changes: Any) -> dict[str, Any]:
    """A row with a value of its own for each feature, changed."""
    return {"make": "Ford", "mileage": 1500.5, "year": 2015, "owners": 2, "doors": 5, "automatic": True} | changes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in row().items() if key != name}


def response(rows: int = 2) -> InferResponse:
    """What the model would say: row i is priced 100.1 + i, and is a good deal when i is even."""
    good = np.array([index % 2 == 0 for index in range(rows)], dtype=bool)
    remarks = np.empty(rows, dtype=object)
    remarks[:] = [f"row {index}".encode() for index in range(rows)]
    outputs = {
        "price": (np.float32(100.1) + np.arange(rows, dtype=np.float32)).reshape(rows, 1),
        "label": good.astype(np.int64),
        "probabilities": np.where(good[:, None], np.float32([0.25, 0.75]), np.float32([0.9, 0.1])).astype(
            np.float32
        ),
        "remark": remarks,
    }
    return respond(outputs)


def respond(outputs: Mapping[str, Any], signature: Signature = SIGNATURE) -> InferResponse:
    datatypes = {spec.name: spec.datatype for spec in signature.outputs}
    return InferResponse(
        "car-price", "1", "", [OutputTensor(name, datatypes[name], array) for name, array in outputs.items()]
    )
