"""Outputs to named predictions: columns taken apart, integer labels shown as class names, texts as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rapide.server.codecs.columns import AnswerColumn, texts
from rapide.server.errors import Internal
from rapide.server.repository.manifest import Prediction
from rapide.server.signature import DataType
from rapide.server.tensors import Array, OutputTensor

_DTYPES = {"integer": np.dtype(np.int64), "boolean": np.dtype(np.bool_)}


def prediction_column(prediction: Prediction, outputs: Mapping[str, OutputTensor]) -> AnswerColumn:
    """One prediction's value for each row (a vector, where the output has several columns and it names none).

    Raises Internal when the model's answer lacks what the manifest promises.
    """
    output = outputs.get(prediction.output)
    if output is None:
        raise Internal(f"the model gave no output for the prediction {prediction.name!r}")
    array = _column(output.array, prediction)
    if prediction.classes:
        return AnswerColumn("text", _class_names(array, output.datatype, prediction.classes))
    if output.datatype is DataType.BYTES:
        return AnswerColumn("text", texts(array))
    return AnswerColumn(prediction.kind, _of_kind(array, prediction))


def _column(array: Array, prediction: Prediction) -> Array:
    if array.ndim < 2:
        return array.reshape(-1)
    if prediction.column is not None:
        if prediction.column >= array.shape[1]:
            raise Internal(f"the model's answer has no column {prediction.column} for {prediction.name!r}")
        return array[:, prediction.column]
    return array.reshape(array.shape[0]) if array.shape[1:] == (1,) else array


def _class_names(array: Array, datatype: DataType, classes: Sequence[str]) -> Array:
    if datatype is DataType.BYTES:  # labels that are names already
        return texts(array)
    names = dict(enumerate(classes))  # 1.0 and True find what 1 does
    labels = array.reshape(-1)
    labels = labels if labels.dtype.kind in "biu" else labels.astype(np.float64)
    out = np.empty(array.shape, dtype=object)
    out.reshape(-1)[:] = [names.get(label, _number_text(label)) for label in labels.tolist()]
    return out


def _number_text(label: float) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _of_kind(array: Array, prediction: Prediction) -> Array:
    """``array`` in the kind's own datatype where that loses nothing."""
    dtype = _DTYPES.get(prediction.kind)
    if dtype is None or array.dtype.kind == dtype.kind:
        return array
    with np.errstate(invalid="ignore"):
        converted = array.astype(dtype)
    return converted if bool((converted == array).all()) else array
