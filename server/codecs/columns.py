"""What the friendly protocols share: a call with rows or columns of values, an answer of named columns."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rapide.server.repository.manifest import Kind
from rapide.server.signature import DataType
from rapide.server.tensors import Array, InferRequest, InferResponse


class Form(enum.Enum):
    """How values are laid out; an answer has the form of its call."""

    ROWS = "instances"
    """A list with one entry for each row: an object of named values, or a bare value."""
    COLUMNS = "inputs"
    """An object with a list of values for each name, or a bare list."""


@dataclass(frozen=True, slots=True)
class PredictCall:
    """A call as it came, before it is known which model will read it. ``value`` is what JSON can hold."""

    form: Form
    value: Any


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """One named column: ``values`` has a row for each row of the call. Texts are objects of ``str``, or of
    ``bytes`` where they are not UTF-8."""

    kind: Kind
    values: Array


@dataclass(frozen=True, slots=True)
class PredictAnswer:
    """``named``: the columns are predictions in the domain's terms, whose names are always shown. Otherwise they
    are tensors, and a single one goes without its name (TensorFlow Serving's rule)."""

    columns: Mapping[str, AnswerColumn]
    named: bool


ReadAnswer = Callable[[InferResponse], PredictAnswer]


class PredictCodec(Protocol):
    """Made once for each loaded version; knows the version's names."""

    def request(self, call: PredictCall) -> tuple[InferRequest, ReadAnswer]:
        """The tensors that ``call`` means (model name and version are left to the service), and how to read what
        comes out. Raises InvalidRequest in the caller's terms."""


def texts(array: Array) -> Array:
    """An object array of ``bytes`` with every element that is UTF-8 as ``str``."""
    out = np.empty(array.shape, dtype=object)
    out.reshape(-1)[:] = [_text(item) for item in array.reshape(-1).tolist()]
    return out


def kind_of(datatype: DataType) -> Kind:
    """The kind of values that a tensor of this datatype holds."""
    if datatype is DataType.BYTES:
        return "text"
    if datatype is DataType.BOOL:
        return "boolean"
    return "number" if datatype.is_float else "integer"


def _text(item: bytes) -> str | bytes:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return item
