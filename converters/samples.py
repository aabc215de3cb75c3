"""Reads a sample of the trainer's table and says what kind each column is."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rapide.converters.arrays import load_arrays
from rapide.converters.errors import ConversionError
from rapide.server.repository.manifest import Kind
from rapide.server.tensors import Array

MAX_SAMPLE_ROWS = 1_000_000
TENSOR_SUFFIX = ".npz"

Frame = Any
"""A ``pandas.DataFrame``; pandas ships no types of its own."""


def read_sample(path: Path) -> Frame:
    """The table at ``path``. Raises ConversionError for what is no table, or an empty one."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConversionError(
            f"{path.name} is no sample that can be read",
            hint=f"Give a file ending in {', '.join(_READERS)}, or {TENSOR_SUFFIX} for a model of tensors.",
        )
    try:
        frame = reader(path)
    except (OSError, ValueError, ImportError) as error:  # pyarrow's and pandas' parser errors are ValueErrors
        raise ConversionError(f"the sample {path.name} cannot be read: {_first_line(error)}") from error
    if frame.empty:
        raise ConversionError(f"the sample {path.name} has no rows", hint="Give some tens or more real rows.")
    repeated = frame.columns[frame.columns.duplicated()].tolist()
    if repeated:
        raise ConversionError(f"the sample {path.name} has two columns called {repeated[0]!r}")
    frame.columns = [str(name) for name in frame.columns]
    return frame.head(MAX_SAMPLE_ROWS).reset_index(drop=True)


def read_tensors(path: Path) -> dict[str, Array]:
    """The named arrays at ``path`` (numpy.savez), each [rows, …]. Raises ConversionError for what is none."""
    try:
        arrays = load_arrays(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:  # ValueError: it holds pickles
        raise ConversionError(
            f"the sample {path.name} cannot be read: {_first_line(error)}",
            hint="Write it with numpy.savez('rows.npz', input_name=array, …), the arrays of numbers or texts.",
        ) from error
    if not arrays:
        raise ConversionError(f"the sample {path.name} holds no arrays")
    lengths = {name: len(array) if array.ndim else None for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or None in lengths.values() or 0 in lengths.values():
        raise ConversionError(
            f"the arrays of the sample {path.name} have {lengths} rows; each must have as many, and one at least"
        )
    return {name: array[:MAX_SAMPLE_ROWS] for name, array in arrays.items()}


def column_kind(values: Any) -> Kind:
    """The kind of one column (a pandas Series). Raises ConversionError for dates and mixtures, with the remedy."""
    dtype = values.cat.categories.dtype if isinstance(values.dtype, pd.CategoricalDtype) else values.dtype
    for holds, kind in _KINDS:
        if holds(dtype):
            return "number" if kind != "text" and values.isna().any() else kind  # only floats can be missing
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred in ("string", "empty"):
        return "text"
    raise ConversionError(
        f"column {values.name!r} of the sample holds {inferred} values ({dtype}), which no model input can carry",
        hint=_REMEDIES.get(inferred, "Store it as texts, numbers or booleans before training."),
    )


def notes_on_texts(frame: Frame) -> list[str]:
    """What to say of columns in which a missing text and an empty one are two things: to a graph they are one."""
    return [
        f"column {name!r} holds both empty and missing texts, which ONNX cannot tell apart: if the model does, "
        "fill one of the two before training"
        for name, values in frame.items()
        if column_kind(values) == "text" and values.isna().any() and (values == "").any()
    ]


def texts(values: Any, missing: str) -> Array:
    """A column as an object array of str, ``missing`` where there is no value."""
    return np.array([missing if pd.isna(value) else str(value) for value in values], dtype=object)


def numbers(values: Any, dtype: np.dtype[Any]) -> Array:
    """A column as ``dtype``, NaN where there is no value. Raises ConversionError if ``dtype`` cannot hold that."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if values.isna().any() and not np.issubdtype(dtype, np.floating):
        raise ConversionError(f"column {values.name!r} has missing values, which {dtype} cannot hold")
    plain: Array = values.to_numpy(dtype=dtype, na_value=np.nan) if values.isna().any() else values.to_numpy(dtype)
    return plain


def _read_csv(path: Path) -> Frame:
    frame = pd.read_csv(path)
    if not frame.index.equals(pd.RangeIndex(len(frame))):  # pandas takes the first values for names of rows
        raise ValueError("its lines have more values than the first line has names")
    return frame


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


_READERS: Mapping[str, Callable[[Path], Frame]] = {
    ".parquet": pd.read_parquet,
    ".csv": _read_csv,
}
_KINDS: tuple[tuple[Callable[[Any], bool], Kind], ...] = (
    (pd.api.types.is_bool_dtype, "boolean"),
    (pd.api.types.is_integer_dtype, "integer"),
    (pd.api.types.is_float_dtype, "number"),
    (lambda dtype: isinstance(dtype, pd.StringDtype), "text"),
)
_REMEDIES: Mapping[str, str] = {
    "datetime64": "Train on numbers made from it (year, days since a date) and give those columns.",
    "datetime": "Train on numbers made from it (year, days since a date) and give those columns.",
    "date": "Train on numbers made from it (year, days since a date) and give those columns.",
    "boolean": "A boolean column with missing values: store it as texts (yes, no) or as numbers.",
}
