"""Our own converters, put in the place of skl2onnx's, once in a process."""

from __future__ import annotations

import functools
from typing import Any

from skl2onnx import update_registered_converter
from skl2onnx.common._registration import get_converter, get_shape_calculator
from sklearn.svm import LinearSVC

from rapide.converters.sources.scikit_learn import (
    bins,
    dummy,
    frequencies,
    functions,
    imputer,
    narrowing,
    one_hot,
    ordinal,
    selection,
    trees,
)


@functools.cache
def register_parts() -> None:
    """Registers all of them."""
    bins.register()
    dummy.register()
    frequencies.register()
    functions.register()
    imputer.register()
    one_hot.register()
    ordinal.register()
    selection.register()
    trees.register()
    narrowing.register()
    _let_pipelines_end_in_linear_svc()


def _let_pipelines_end_in_linear_svc() -> None:
    """skl2onnx sets the option ``zipmap`` in every pipeline that ends in a classifier, and refuses it for this
    one."""
    alias = "SklearnLinearSVC"
    inner = get_converter(alias)

    def convert(scope: Any, operator: Any, container: Any) -> None:
        inner(scope, operator, container)

    options = {**inner.get_allowed_options(), "zipmap": [True, False, "columns"]}
    update_registered_converter(
        LinearSVC, alias, get_shape_calculator(alias), convert, overwrite=True, options=options
    )
