"""From a fitted estimator to an ONNX graph, by skl2onnx, with parts of our own where it is not faithful
(``imputer``, ``trees``, ``narrowing``).

All numbers enter skl2onnx as floats or doubles; ``surgery.py`` puts the casts from integers and booleans before
them, because skl2onnx takes the type of the first column for all that are merged.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import skl2onnx
from onnx import ModelProto, helper
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from skl2onnx.sklapi import CastTransformer
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from rapide.converters.columns import MISSING_TEXT, PACKED_INPUT, Column, Precision
from rapide.converters.errors import ConversionError
from rapide.converters.sources.boosters.graph import register as register_booster
from rapide.converters.sources.boosters.table import booster_of
from rapide.converters.sources.scikit_learn.nodes import is_missing
from rapide.converters.sources.scikit_learn.parts import register_parts
from rapide.converters.sources.scikit_learn.several import join_sequences, take_apart
from rapide.converters.sources.scikit_learn.structure import (
    Node,
    column_positions,
    describe,
    is_passthrough,
    parts,
    root,
    walk,
)
from rapide.converters.sources.scikit_learn.table import first_step
from rapide.converters.sources.scikit_learn.words import word_expression

OPSETS = {"": 21, "ai.onnx.ml": 3}
"""Known to every onnxruntime that this project runs on (1.23 and later); ml 3 has trees with double thresholds."""


def to_onnx(estimator: Any, columns: Sequence[Column], precision: Precision) -> ModelProto:
    """The graph, its inputs called ``c0``, ``c1``, … or the packed input's name.

    Raises ConversionError, naming the step that cannot be converted.
    """
    register_parts()
    node = root(estimator, tuple(column.name for column in columns))
    for part in walk(node):
        if booster_of(part.estimator) is not None:
            register_booster(part.estimator)
    check_supported(node)
    prepared = prepare(estimator, precision)
    _drop_unused_columns(prepared)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx's own deprecations; what matters is proven by the parity gate
        try:
            graph: ModelProto = skl2onnx.convert_sklearn(
                prepared,
                name="rapide",
                initial_types=_input_types(columns, precision),
                options=_options(prepared) or None,
                target_opset=OPSETS,
            )
        except (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError) as error:
            raise _unsupported(error, prepared, node) from error
        except (AssertionError, AttributeError, IndexError, KeyError, NameError, TypeError, ValueError) as error:
            raise _unsupported(error, prepared, node) from error
    _name_locale(graph)
    join_sequences(graph)
    return graph


def check_supported(node: Node) -> None:
    """Raises ConversionError for the first step that skl2onnx does not know at all."""
    known = set(skl2onnx.supported_converters(from_sklearn=True))
    mapped = {kind for kind in _operator_names() if kind is not None}
    for part in parts(node):
        kind = type(part.estimator)
        if kind.__name__ in _UNFAITHFUL:
            raise ConversionError(
                f"{describe(part)} cannot be converted to ONNX: {_UNFAITHFUL[kind.__name__]}",
                hint="Use SimpleImputer instead, or do this step before the model is called.",
            )
        if isinstance(part.estimator, CountVectorizer):
            _check_words(part)
        if kind not in mapped and kind.__name__ not in known:
            raise ConversionError(
                f"{describe(part)} cannot be converted to ONNX: {kind.__name__} of "
                f"{kind.__module__.partition('.')[0]} is not supported",
                hint="Use a similar estimator that is (docs/guides/convert.md lists them), or do this step before "
                "the model is called.",
            )


def _check_words(part: Node) -> None:
    vectorizer = part.estimator
    if vectorizer.analyzer == "word" and word_expression(vectorizer.token_pattern) is None:
        raise ConversionError(
            f"{describe(part)} cannot be converted to ONNX: its token_pattern {vectorizer.token_pattern!r} means "
            "other words to the runtime, which takes \\w, \\b, \\d and \\s for ASCII",
            hint=r"Train with \w+, \b\w{2,}\b or \S+, or list the characters in brackets: [a-zà-ÿ0-9]+.",
        )


_UNFAITHFUL: Mapping[str, str] = {
    "KNNImputer": "skl2onnx's graph for it fails on rows that miss more than one value",
}
"""What skl2onnx converts to a graph that does not stand, whatever the sample shows of it."""


def prepare(estimator: Any, precision: Precision) -> Any:
    """A copy that skl2onnx converts faithfully: same answers, other notation."""
    prepared = copy.deepcopy(estimator)
    while hasattr(prepared, "best_estimator_"):
        prepared = prepared.best_estimator_
    for node in walk(root(prepared, ())):
        take_apart(node.estimator)
        for kind, change in _CHANGES.items():
            if isinstance(node.estimator, kind):
                change(node.estimator)
        for name, change in _CHANGES_BY_NAME.items():
            if type(node.estimator).__name__ == name:
                change(node.estimator)
    if precision == "mixed" and isinstance(prepared, Pipeline):
        # scikit-learn's trees narrow what they are given in the same place.
        prepared.steps.insert(len(prepared.steps) - 1, ("narrow", CastTransformer(dtype=np.float32)))
    return prepared


def _input_types(columns: Sequence[Column], precision: Precision) -> list[tuple[str, Any]]:
    number = FloatTensorType if precision == "float32" else DoubleTensorType
    if columns[0].packed_at is not None:
        return [(PACKED_INPUT, number([None, len(columns)]))]
    return [
        (f"c{position}", (number if column.is_numeric else StringTensorType)([None, 1]))
        for position, column in enumerate(columns)
    ]


def _has_zipmap(estimator: Any) -> bool:
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return is_classifier(estimator) and hasattr(last, "classes_")


def _name_locale(graph: ModelProto) -> None:
    """Texts are lowered by the rules of Unicode that every glibc brings along; onnxruntime's default,
    en_US.UTF-8, is missing in most containers."""
    for node in graph.graph.node:
        if node.op_type == "StringNormalizer" and not any(each.name == "locale" for each in node.attribute):
            node.attribute.append(helper.make_attribute("locale", "C.UTF-8"))


def _unsupported(error: Exception, prepared: Any, node: Node) -> ConversionError:
    """Names the step whose converter failed, found in the traceback: skl2onnx's messages seldom say."""
    culprit = _operator_in(error.__traceback__)
    shown = describe(node) if culprit is None else f"the step {type(culprit).__name__}"
    for original, copied in zip(walk(node), walk(root(prepared, ())), strict=False):
        if copied.estimator is culprit:
            shown = describe(original)
    reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
    return ConversionError(
        f"{shown} cannot be converted to ONNX: {reason}",
        hint="Change that step's options or use a similar estimator (docs/guides/convert.md), then train again.",
    )


def _operator_in(trace: TracebackType | None) -> Any:
    found = None
    while trace is not None:
        operator = trace.tb_frame.f_locals.get("operator")
        found = getattr(operator, "raw_operator", found)
        trace = trace.tb_next
    return found


def _skip_passthrough(pipeline: Any) -> None:
    """skl2onnx takes the word for an estimator."""
    steps = [(name, step) for name, step in pipeline.steps if not is_passthrough(step)]
    pipeline.steps = steps or [("nothing", FunctionTransformer())]


def _skip_dropped(union: Any) -> None:
    """The same, for a union's members."""
    union.transformer_list = [
        (name, FunctionTransformer() if is_passthrough(member) else member)
        for name, member in union.transformer_list
        if member not in ("drop", None)
    ]


def _number_columns(transformer: Any) -> None:
    """Columns by position: the graph's inputs have names of their own."""
    positions = column_positions(transformer)
    transformer.transformers_ = [
        (name, member, positions[name])
        for name, member, _columns in transformer.transformers_
        if name in positions
    ]


def _drop_unused_columns(prepared: Any) -> None:
    """The graph is given no column that the first step drops; the others move up."""
    first = first_step(prepared)
    if not isinstance(first, ColumnTransformer):
        return
    used = sorted({position for _, _, positions in first.transformers_ for position in positions})
    first.transformers_ = [
        (name, member, [used.index(position) for position in positions])
        for name, member, positions in first.transformers_
    ]


def _as_logistic_regression(discriminant: Any) -> None:
    """The same decision and the same probabilities (``expit`` or softmax of it), which skl2onnx gets wrong for two
    classes of a linear discriminant."""
    twin = LogisticRegression()
    for name in ("coef_", "intercept_", "classes_", "n_features_in_"):
        setattr(twin, name, getattr(discriminant, name))
    discriminant.__class__ = LogisticRegression
    discriminant.__dict__ = twin.__dict__


def _adapt_voting(voting: Any) -> None:
    if voting.weights is not None:
        voting.weights = np.asarray(voting.weights, dtype=np.float64)  # skl2onnx asks a list for its sum
    if hasattr(voting, "flatten_transform"):
        voting.flatten_transform = False  # concerns transform() only, but skl2onnx refuses the default


def _spell_missing(encoder: Any) -> None:
    """A missing text reaches the graph as an empty one, where skl2onnx looks for "nan" or "None"."""
    encoder.categories_ = [
        np.array([MISSING_TEXT if is_missing(value) else value for value in known], dtype=object)
        if known.dtype == object
        else known
        for known in encoder.categories_
    ]


def _options(prepared: Any) -> dict[int, dict[str, Any]]:
    """skl2onnx's options, by the identity of what they are for."""
    options: dict[int, dict[str, Any]] = {id(prepared): {"zipmap": False}} if _has_zipmap(prepared) else {}
    for node in walk(root(prepared, ())):
        if isinstance(node.estimator, CountVectorizer) and node.estimator.analyzer == "word":
            expression = word_expression(node.estimator.token_pattern)
            options.setdefault(id(node.estimator), {})["tokenexp"] = expression
    return options


def _operator_names() -> Mapping[Any, str]:
    names: Mapping[Any, str] = skl2onnx._supported_operators.sklearn_operator_name_map
    return names


_CHANGES: Mapping[type, Callable[[Any], None]] = {
    ColumnTransformer: _number_columns,
    FeatureUnion: _skip_dropped,
    Pipeline: _skip_passthrough,
}
_CHANGES_BY_NAME: Mapping[str, Callable[[Any], None]] = {
    "LinearDiscriminantAnalysis": _as_logistic_regression,
    "TargetEncoder": _spell_missing,
    "VotingClassifier": _adapt_voting,
    "VotingRegressor": _adapt_voting,
}
