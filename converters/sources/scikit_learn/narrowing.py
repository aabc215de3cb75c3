"""Keeps doubles double where columns are merged.

skl2onnx declares the type of a merged matrix after its *first* part; where that is a one-hot matrix (float32), all
that follows would take the doubles beside it for float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skl2onnx._parse import sklearn_parsers_map, update_registered_parser
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion


def register() -> None:
    """Takes the place of skl2onnx's parsers, in this process. Call it once (``parts.py``)."""
    for kind in (ColumnTransformer, FeatureUnion):
        update_registered_parser(kind, _widened(sklearn_parsers_map[kind]))


def _widened(inner: Callable[..., Any]) -> Callable[..., Any]:
    def parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
        outputs = inner(scope, model, inputs, custom_parsers=custom_parsers)
        doubles = any(isinstance(variable.type, DoubleTensorType) for variable in inputs)
        if doubles and len(model.transformers_ if hasattr(model, "transformers_") else model.transformer_list) > 1:
            outputs[0].type = DoubleTensorType([None, None])
        return outputs

    return parse
