"""The columns of a sample as plain records: what the manifest will say about them. Knows no pandas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

from rapide.server.repository.manifest import Feature, Kind, Prediction
from rapide.server.signature import DataType

Precision = Literal["float32", "mixed", "float64", "own"]
PRECISIONS: tuple[Precision, ...] = ("float32", "mixed", "float64")
"""How numbers are computed, cheapest first. ``float32`` throughout; ``mixed``: double inputs and preprocessing,
the predictor in float32 (scikit-learn's trees narrow their input in the same way); ``float64`` throughout.
``own`` is nobody's choice: the precision that a model of tensors was made in."""

PACKED_INPUT = "features"
MISSING_TEXT = ""
"""What stands for a missing text: ONNX has no other."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the trainer's table.

    ``packed_at`` is its position in the packed input, None where it has an input of its own. ``takes_missing``:
    the original model answers where the value is missing. ``categories``: the only texts that it accepts.
    """

    name: str
    kind: Kind
    packed_at: int | None = None
    takes_missing: bool = False
    categories: tuple[str, ...] = ()

    @property
    def input(self) -> str:
        return self.name if self.packed_at is None else PACKED_INPUT

    @property
    def is_numeric(self) -> bool:
        return self.kind != "text"

    def datatype(self, precision: Precision) -> DataType:
        """The datatype of the column's input tensor."""
        number = DataType.FP32 if precision == "float32" else DataType.FP64
        if self.packed_at is not None:
            return number
        kinds = {
            "number": number,
            "integer": DataType.INT64,
            "boolean": DataType.BOOL,
            "text": DataType.BYTES,
        }
        return kinds[self.kind]

    def feature(self) -> Feature:
        """The manifest's record. A missing number is NaN, a missing text is empty."""
        missing: float | str | None = None
        if self.takes_missing:
            missing = float("nan") if self.is_numeric else MISSING_TEXT
        return Feature(
            name=self.name,
            input=self.input,
            column=self.packed_at,
            kind=self.kind,
            required=not self.takes_missing,
            categories=self.categories,
            missing=missing,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "packed_at": self.packed_at,
            "takes_missing": self.takes_missing,
            "categories": list(self.categories),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Column:
        return cls(
            name=str(raw["name"]),
            kind=cast("Kind", raw["kind"]),
            packed_at=raw["packed_at"],
            takes_missing=bool(raw["takes_missing"]),
            categories=tuple(raw["categories"]),
        )


def label_prediction(name: str, output: str, kind: Kind, classes: tuple[str, ...]) -> Prediction:
    """The column with the class. Class names make it a text, whatever the tensor holds."""
    return Prediction(name, output, None, "text" if classes else kind, classes)


def score_predictions(prefix: str, output: str, names: tuple[str, ...]) -> tuple[Prediction, ...]:
    """One column a class: ``probability.malignant``, …"""
    return tuple(Prediction(f"{prefix}.{name}", output, index, "number") for index, name in enumerate(names))
