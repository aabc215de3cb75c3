"""What every source offers to the rest of the conversion. Runs in the child process that holds the original
model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rapide.converters.columns import Column, Precision
from rapide.converters.samples import Frame
from rapide.server.repository.manifest import Prediction
from rapide.server.signature import DataType
from rapide.server.tensors import Array


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the published graph: a label ([N] or [N, targets]) or numbers ([N, columns])."""

    name: str
    is_label: bool
    predictions: tuple[Prediction, ...]
    unit_scale: bool = False
    """Whether the numbers are probabilities: differences count against 1, not against their spread."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "is_label": self.is_label,
            "predictions": [prediction.to_json() for prediction in self.predictions],
            "unit_scale": self.unit_scale,
        }


@dataclass(frozen=True, slots=True)
class SplitSite:
    """Comparisons of numbers with thresholds inside the model that share what comes before them.

    ``transform`` takes a frame with the model's columns and gives what is compared, [N, M] float64. ``reaches``
    takes that matrix and gives, as [N, splits] booleans, which rows come to which comparison. A row goes one way
    while ``cast(matrix[:, feature]) <= threshold``.
    """

    paths: tuple[str, ...]
    """By split: where in the model, for the reader."""
    transform: Callable[[Frame], Array]
    features: Array
    """int64 [splits]: columns of the matrix."""
    thresholds: Array
    """float64 [splits]."""
    cast: type
    """``numpy.float32`` where the original narrows its input before it compares (scikit-learn's trees do)."""
    reaches: Callable[[Array], Array]


class Original(Protocol):
    """A trained model, opened. Methods may raise anything the model's own code raises."""

    @property
    def description(self) -> Mapping[str, Any]:
        """For the lineage: class, parameters, library versions at training."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that the model takes, in its order."""

    @property
    def outputs(self) -> tuple[Output, ...]: ...

    @property
    def class_values(self) -> list[int | str]:
        """A classifier's labels as ``answers`` writes them, in the order of the score columns; else empty."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those that can make a difference for this model, cheapest first."""

    def answers(self, frame: Frame) -> dict[str, Array]:
        """By output: what the original answers to ``frame`` (columns as in ``columns``), shaped as ``outputs``."""

    def truth(self, values: Any) -> Array:
        """A column of true answers (a pandas Series), written as the first output is. Raises ConversionError."""

    def export(self, precision: Precision) -> bytes:
        """The serialised ONNX model. Raises ConversionError, naming the step that cannot be converted."""

    def splits(self, most: int) -> list[SplitSite]:
        """At most ``most`` comparisons, evenly spaced over all that the model makes."""

    def known_categories(self, column: str) -> tuple[str, ...]:
        """The texts that ``column`` was trained with; empty if the model does not tell."""


@dataclass(frozen=True, slots=True)
class TensorInput:
    """One input of a model that takes tensors. ``axes``: of each dimension its size, or its name where requests
    choose it; dimension 0 counts rows."""

    name: str
    datatype: DataType
    axes: tuple[int | str, ...]


@runtime_checkable
class TensorOriginal(Protocol):
    """A trained model that takes whole tensors (images, token ids) instead of a table's columns, opened."""

    @property
    def description(self) -> Mapping[str, Any]:
        """As in ``Original``."""

    @property
    def tensor_inputs(self) -> tuple[TensorInput, ...]: ...

    @property
    def rows(self) -> Mapping[str, Array]:
        """The sample as the model is fed it: by input, [N, …]."""

    @property
    def truth(self) -> Array | None:
        """The true answers to ``rows``, [N], written as labels or numbers; None where none were given."""

    @property
    def outputs(self) -> tuple[Output, ...]: ...

    @property
    def class_values(self) -> list[int | str]:
        """As in ``Original``."""

    def answers(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """By output: what the original answers to ``feeds``, [N, …]."""

    def export(self) -> bytes:
        """The serialised ONNX model, in the precision that the original has. Raises ConversionError."""
