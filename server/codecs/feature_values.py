"""One feature's values to an array, and features to the tensors they enter.

Errors speak of features, rows (counted from 0) and values, never of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rapide.server.codecs import elements
from rapide.server.codecs.describe import described, shown
from rapide.server.errors import BrokenVersion, InvalidRequest
from rapide.server.repository.manifest import Feature, Kind
from rapide.server.signature import DYNAMIC, DataType, TensorSpec
from rapide.server.tensors import NUMPY_DTYPES, Array, InputTensor

_ALLOWED: Mapping[Kind, frozenset[type]] = {
    "number": frozenset({float, int}),
    "integer": frozenset({int, float}),  # 4.0 is whole too: tables with missing values hold integers as floats
    "boolean": frozenset({bool}),
    "text": frozenset({str}),
}
_EXPECTED: Mapping[Kind, str] = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "text": "a text",
}


@dataclass(frozen=True, slots=True)
class InputPlan:
    """How features fill one input: a single one as [N] or [N, 1], or several side by side as [N, width]."""

    spec: TensorSpec
    features: tuple[Feature, ...]
    width: int | None
    """The number of packed columns; None for a single feature's own tensor."""

    @classmethod
    def made(cls, spec: TensorSpec, features: Sequence[Feature]) -> InputPlan:
        """Raises BrokenVersion when ``features`` do not fill the input exactly, or cannot be of its datatype."""
        for feature in features:
            _check_datatype(feature, spec)
        columns = sorted(-1 if feature.column is None else feature.column for feature in features)
        rank = len(spec.shape)
        if columns == [-1] and (rank == 1 or (rank == 2 and spec.shape[1] in (1, DYNAMIC))):
            return cls(spec, tuple(features), None)
        width = spec.shape[1] if rank == 2 and spec.shape[1] != DYNAMIC else len(columns)
        if rank != 2 or not columns or columns != list(range(width)):
            raise BrokenVersion(
                f"the manifest's features do not fill input {shown(spec.name)} of shape {list(spec.shape)}: "
                f"they name its columns {columns[:16]}"
            )
        return cls(spec, tuple(features), width)

    def tensor(self, columns: Mapping[str, Sequence[Any]], rows: int) -> InputTensor:
        """The input's tensor. Raises InvalidRequest for a value that its feature cannot have."""
        datatype = self.spec.datatype
        if self.width is None:
            array = feature_array(self.features[0], columns, rows, datatype)
            return InputTensor(self.spec.name, datatype, array.reshape((rows, *(1 for _ in self.spec.shape[1:]))))
        packed = np.empty((rows, self.width), dtype=NUMPY_DTYPES[datatype])
        for feature in self.features:
            packed[:, feature.column] = feature_array(feature, columns, rows, datatype)
        return InputTensor(self.spec.name, datatype, packed)


def feature_array(feature: Feature, columns: Mapping[str, Sequence[Any]], rows: int, datatype: DataType) -> Array:
    """The feature's values, or its stand-in where they are missing, as a 1-D array of ``rows``.

    Missing is null, NaN, or the whole column left out. Raises InvalidRequest for a missing value of a required
    feature, a value of another kind, and one that the datatype cannot hold.
    """
    values = columns.get(feature.name)
    if values is None:
        values = [None] * rows
    absent = [row for row, value in enumerate(values) if value is None or value != value]  # noqa: PLR0124 - NaN
    if absent and feature.required:
        raise InvalidRequest(f"{feature.name} is required; row {absent[0]} has none")
    _check_kinds(feature, values, set(absent), datatype)
    if absent:
        values = list(values)
        stand_in = _stand_in(feature, datatype)
        for row in absent:
            values[row] = stand_in
    try:
        return elements.to_array(_as_elements(values, datatype), datatype)
    except elements.WrongElement as error:
        raise _wrong(feature, error.expected, error.index, error.value) from None


def _check_kinds(feature: Feature, values: Sequence[Any], absent: set[int], datatype: DataType) -> None:
    allowed = _ALLOWED[feature.kind]
    whole = feature.kind == "integer" or (feature.kind == "number" and not datatype.is_float)
    types = set(map(type, values))
    if allowed >= types and not (whole and float in types):
        return
    for row, value in enumerate(values):
        if row in absent:
            continue
        if type(value) not in allowed:
            raise _wrong(feature, _EXPECTED[feature.kind], row, value)
        if whole and type(value) is float and not value.is_integer():
            raise _wrong(feature, "a whole number", row, value)


def _as_elements(values: Sequence[Any], datatype: DataType) -> Sequence[Any]:
    """``values`` in the Python type that the datatype is read from: a boolean feature may enter as 0 and 1."""
    if datatype in (DataType.BYTES, DataType.BOOL):
        return values
    if not datatype.is_float:
        return [int(value) for value in values]
    return (
        [int(value) if type(value) is bool else value for value in values]
        if bool in set(map(type, values))
        else values
    )


def _stand_in(feature: Feature, datatype: DataType) -> float | str | bool | None:
    if feature.missing is not None:
        return bool(feature.missing) if datatype is DataType.BOOL else feature.missing
    if datatype is DataType.BYTES:
        return ""
    return math.nan if datatype.is_float else None


def _check_datatype(feature: Feature, spec: TensorSpec) -> None:
    is_text = spec.datatype is DataType.BYTES
    if is_text != (feature.kind == "text") or (spec.datatype is DataType.BOOL and feature.kind != "boolean"):
        raise BrokenVersion(
            f"the manifest's feature {shown(feature.name)} is a {feature.kind}, but its input is {spec.datatype}"
        )
    if not feature.required:
        stand_in = _stand_in(feature, spec.datatype)
        whole = (
            spec.datatype.is_float
            or is_text
            or (isinstance(stand_in, (int, float)) and float(stand_in).is_integer())
        )
        if not whole:
            raise BrokenVersion(
                f"the manifest's feature {shown(feature.name)} may be missing, but records nothing that an input "
                f"of {spec.datatype} could hold in its place"
            )


def _wrong(feature: Feature, expected: str, row: int, value: Any) -> InvalidRequest:
    return InvalidRequest(f"{feature.name}: expected {expected}, got {described(value)} in row {row}")
