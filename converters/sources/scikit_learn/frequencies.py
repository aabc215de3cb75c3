"""TfidfTransformer with ``sublinear_tf``: 1 + log(count) of what occurs, where skl2onnx takes log(1 + count).

The two may differ only where a text repeats a word, which the rows of a sample need not do."""

from __future__ import annotations

import copy
from typing import Any

from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common._registration import get_converter, get_shape_calculator
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.feature_extraction.text import TfidfTransformer

from rapide.converters.sources.scikit_learn.nodes import add_constant, add_node

_ALIAS = "SklearnTfidfTransformer"


def register() -> None:
    """Stands before skl2onnx's converter, in this process; the vectoriser uses it, too. Call it once."""
    inner = get_converter(_ALIAS)

    def convert(scope: Any, operator: Any, container: Any) -> None:
        if operator.raw_operator.sublinear_tf:
            operator = _Sublinear(scope, container, operator)
        inner(scope, operator, container)

    update_registered_converter(
        TfidfTransformer,
        _ALIAS,
        get_shape_calculator(_ALIAS),
        convert,
        overwrite=True,
        options=inner.get_allowed_options(),
    )


class _Sublinear:
    """An operator whose counts pass through the logarithm first, and which then takes them as they are."""

    def __init__(self, scope: Any, container: Any, operator: Any) -> None:
        self._operator = operator
        self.raw_operator = copy.copy(operator.raw_operator)
        self.raw_operator.sublinear_tf = False
        counts, kind = operator.inputs[0].full_name, operator.inputs[0].type
        onnx_type = TensorProto.DOUBLE if isinstance(kind, DoubleTensorType) else TensorProto.FLOAT
        zero, one = (add_constant(scope, container, onnx_type, [1], [value]) for value in (0.0, 1.0))
        occurs = add_node(scope, container, "Greater", [counts, zero])
        logarithm = add_node(scope, container, "Log", [counts])
        shifted = add_node(scope, container, "Add", [logarithm, one])
        self.input_full_names = [add_node(scope, container, "Where", [occurs, shifted, zero])]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)
