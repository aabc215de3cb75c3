"""Feature selections that keep the first column alone, which skl2onnx takes for keeping none (its converter asks
whether any *position* is true)."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_shape_calculator
from sklearn.feature_selection import SelectorMixin


def register() -> None:
    """Takes the place of skl2onnx's converters, in this process."""
    for kind, alias in list(sklearn_operator_name_map.items()):
        if isinstance(kind, type) and issubclass(kind, SelectorMixin):
            update_registered_converter(kind, alias, get_shape_calculator(alias), _convert, overwrite=True)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    kept = [int(position) for position in operator.raw_operator.get_support(indices=True)]
    if not kept:
        raise RuntimeError("it keeps no column at all")
    positions = scope.get_unique_variable_name("kept")
    container.add_initializer(positions, TensorProto.INT64, [len(kept)], kept)
    container.add_node(
        "Gather",
        [operator.inputs[0].full_name, positions],
        operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Gather"),
        axis=1,
    )
