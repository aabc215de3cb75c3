"""What a model takes and gives: datatypes, tensor specs, signatures.

Free of numpy on purpose: the supervisor and the short commands (``rapide models``, ``label``, ``which``) read
manifests, and should start in milliseconds and weigh a few megabytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from rapide.server.errors import InvalidRequest

DYNAMIC = -1
"""The size of a dimension that each request chooses (Open Inference Protocol: −1)."""


class DataType(enum.StrEnum):
    """The Open Inference Protocol's tensor datatypes; the value is the name on the wire."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @classmethod
    def parse(cls, name: str) -> DataType:
        """The datatype called ``name``. Raises InvalidRequest for any other text."""
        known = _BY_NAME.get(name)
        if known is None:
            raise InvalidRequest(f"datatype {name[:32]!r} is unknown; expected one of {', '.join(cls)}")
        return known

    @property
    def item_bytes(self) -> int | None:
        """Bytes of one element, or None for BYTES, whose elements carry their own length."""
        return _ITEM_BYTES[self]

    @property
    def is_float(self) -> bool:
        return self in _FLOATS


_BY_NAME: dict[str, DataType] = {datatype.value: datatype for datatype in DataType}
"""A tenth of the time that calling the enum takes: it is asked for every tensor."""
_ITEM_BYTES: dict[DataType, int | None] = {
    DataType.BOOL: 1,
    DataType.UINT8: 1,
    DataType.UINT16: 2,
    DataType.UINT32: 4,
    DataType.UINT64: 8,
    DataType.INT8: 1,
    DataType.INT16: 2,
    DataType.INT32: 4,
    DataType.INT64: 8,
    DataType.FP16: 2,
    DataType.BF16: 2,
    DataType.FP32: 4,
    DataType.FP64: 8,
    DataType.BYTES: None,
}
_FLOATS = frozenset({DataType.FP16, DataType.BF16, DataType.FP32, DataType.FP64})


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output: ``shape`` holds DYNAMIC where each request chooses the size."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    finite: bool = False
    """Whether NaN is refused (a float input whose model cannot take missing values)."""

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name, "datatype": str(self.datatype), "shape": list(self.shape)}
        if self.finite:
            out["finite"] = True
        return out

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> TensorSpec:
        return cls(
            name=str(raw["name"]),
            datatype=DataType.parse(str(raw["datatype"])),
            shape=tuple(int(size) for size in raw["shape"]),
            finite=bool(raw.get("finite", False)),
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """A model's inputs and outputs, in the graph's order.

    ``batchable`` promises that dimension 0 of every input and output counts independent rows, so that rows of
    different requests may be run together. The converter proves it; for a bare ``.onnx`` the loader does
    (``model.py``). Where it is False every request runs alone.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batchable: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [spec.to_json() for spec in self.inputs],
            "outputs": [spec.to_json() for spec in self.outputs],
            "batchable": self.batchable,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Signature:
        return cls(
            inputs=tuple(TensorSpec.from_json(spec) for spec in raw["inputs"]),
            outputs=tuple(TensorSpec.from_json(spec) for spec in raw["outputs"]),
            batchable=bool(raw["batchable"]),
        )
