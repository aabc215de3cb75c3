"""The table that a model was trained on: which of the sample's columns it takes, and how it wants to be given
them."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from rapide.converters.channel import Channel
from rapide.converters.columns import Column
from rapide.converters.errors import ConversionError
from rapide.converters.samples import Frame, column_kind
from rapide.converters.sources.boosters.table import booster_of
from rapide.converters.sources.scikit_learn.structure import column_positions, is_passthrough, root, walk


class TrainedTable:
    """``names``: all columns of the training, in its order. ``columns``: those that the model uses; a column
    transformer may drop some, which then are no business of its callers.

    Making one raises ConversionError where model and sample do not fit.
    """

    def __init__(self, model: Any, sample: Frame, target: str, channel: Channel) -> None:
        first = first_step(model)
        self._by_name = bool(_own_names(model, sample))
        # A text vectoriser takes a list of texts and no table.
        self._is_document = hasattr(first, "build_analyzer")
        self.names = _trained_names(model, sample, target)
        used = _used_names(first, self.names)
        _check_names(model, used, sample, target, channel)
        self.columns = _columns(model, sample[list(used)], self._is_document)
        self._dropped = [name for name in self.names if name not in used]

    def argument(self, frame: Frame) -> Any:
        """``frame``, which has the columns that are used, as the model was trained: a table, a matrix, or one
        text a row. What is dropped anyway is filled with nothing."""
        if self._is_document:
            return frame.iloc[:, 0]
        if self._dropped:
            nothing = {
                name: pd.Series([None] * len(frame), dtype=object, index=frame.index) for name in self._dropped
            }
            frame = frame.assign(**nothing)[list(self.names)]
        return frame if self._by_name else frame.to_numpy()


def first_step(model: Any) -> Any:
    """What is given the table: pipelines and searches only pass it on."""
    while isinstance(model, Pipeline) or hasattr(model, "best_estimator_"):
        model = _first_of(model) if isinstance(model, Pipeline) else model.best_estimator_
    return model


def _first_of(pipeline: Pipeline) -> Any:
    return next((step for _, step in pipeline.steps if not is_passthrough(step)), None)


def _own_names(model: Any, sample: Frame) -> tuple[str, ...]:
    """The names that the model was trained with; empty if it was trained on a matrix."""
    booster = booster_of(model)
    if booster is not None:
        return booster.column_names(model, list(sample.columns))
    first = first_step(model)  # a pipeline asks its own first step, which may be one that does nothing
    names = getattr(model, "feature_names_in_", None)
    return tuple(str(name) for name in (getattr(first, "feature_names_in_", ()) if names is None else names))


def _trained_names(model: Any, sample: Frame, target: str) -> tuple[str, ...]:
    wanted = _own_names(model, sample)
    if wanted:
        return wanted
    given = [name for name in sample.columns if name != target]
    count = getattr(model, "n_features_in_", None)
    if count is not None and count != len(given):
        raise ConversionError(
            f"the model was trained on {count} columns without names; the sample has {len(given)}: "
            f"{listed(given)}",
            hint="Give exactly those columns, in the order of training"
            + ("." if target else "; name the column to predict with --target, if it is among them."),
        )
    return tuple(given)


def _used_names(first: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(first, ColumnTransformer):
        return names
    used = {position for positions in column_positions(first).values() for position in positions}
    return tuple(name for position, name in enumerate(names) if position in used)


def _check_names(model: Any, used: tuple[str, ...], sample: Frame, target: str, channel: Channel) -> None:
    missing = [name for name in used if name not in sample.columns]
    surplus = [name for name in sample.columns if name not in used and name != target]
    if missing:
        raise ConversionError(
            f"the sample lacks {listed(missing)}, which the model was trained on",
            hint=f"It has {listed(surplus)} instead; names must match exactly." if surplus else "",
        )
    if surplus and _own_names(model, sample):
        channel.note(f"not used by the model, left out: {listed(surplus)}")


def _columns(model: Any, frame: Frame, is_document: bool) -> tuple[Column, ...]:
    kinds = {name: column_kind(frame[name]) for name in frame.columns}
    if is_document and list(kinds.values()) != ["text"]:
        raise ConversionError(
            "the model takes texts, one a row, so the sample must have one text column",
            hint=f"It has {listed(list(frame.columns))}; name the column to predict with --target.",
        )
    all_float = all(kind == "number" for kind in kinds.values())
    all_numeric = all(kind != "text" for kind in kinds.values())
    packed = (all_float and not _reorders_all(model)) or (all_numeric and not _selects_columns(model))
    return tuple(
        Column(name, kind, packed_at=position if packed else None)
        for position, (name, kind) in enumerate(kinds.items())
    )


def _selects_columns(model: Any) -> bool:
    return any(isinstance(node.estimator, ColumnTransformer) and node.columns for node in walk(root(model, ("",))))


def _reorders_all(model: Any) -> bool:
    """Whether a first column transformer gives one member all columns in another order, which skl2onnx overlooks
    where they come packed."""
    first = first_step(model)
    if not isinstance(first, ColumnTransformer):
        return False
    positions = list(column_positions(first).values())
    used = {position for each in positions for position in each}
    return any(len(each) == len(used) and each != sorted(each) for each in positions)


def listed(names: list[str], most: int = 8) -> str:
    """``'a', 'b' and 3 more``."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
