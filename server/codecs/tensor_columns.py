"""Rows or columns of values, keyed by the names of the model's inputs, to tensors: TensorFlow Serving's reading.

It needs no manifest. In rows every tensor gains a first dimension that counts them; columns are whole tensors. A
model with one input may be given its values without a name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rapide.server.codecs import elements, nested
from rapide.server.codecs.columns import (
    AnswerColumn,
    Form,
    PredictAnswer,
    PredictCall,
    ReadAnswer,
    kind_of,
    texts,
)
from rapide.server.codecs.describe import closest, described, shown, some
from rapide.server.codecs.limits import DEFAULT_LIMITS, CodecLimits
from rapide.server.errors import InvalidRequest
from rapide.server.signature import DYNAMIC, DataType, Signature, TensorSpec
from rapide.server.tensors import InferRequest, InferResponse, InputTensor


@dataclass(frozen=True, slots=True)
class TensorCodec:
    """The PredictCodec of a model without a manifest."""

    signature: Signature
    limits: CodecLimits = DEFAULT_LIMITS

    def request(self, call: PredictCall) -> tuple[InferRequest, ReadAnswer]:
        given = self._rows(call.value) if call.form is Form.ROWS else self._columns(call.value)
        inputs = [self._tensor(spec, given[spec.name]) for spec in self.signature.inputs]
        return InferRequest(model_name="", inputs=inputs), read_tensors

    def _rows(self, instances: Any) -> Mapping[str, Any]:
        """Each input's values, row after row."""
        if type(instances) is not list:
            raise InvalidRequest(
                f"instances must be a list with one entry for each row, got {described(instances)}"
            )
        if not (instances and is_object(instances[0])):
            if not instances:
                return {spec.name: [] for spec in self.signature.inputs}
            return self._unnamed(instances, Form.ROWS)
        for row, instance in enumerate(instances):
            if not is_object(instance):
                raise InvalidRequest(
                    f"instances[{row}] must be an object as the first one is, got {described(instance)}"
                )
            self._check_names(instance, f"instances[{row}]")
        return {spec.name: [instance[spec.name] for instance in instances] for spec in self.signature.inputs}

    def _columns(self, inputs: Any) -> Mapping[str, Any]:
        if not is_object(inputs):
            return self._unnamed(inputs, Form.COLUMNS)
        self._check_names(inputs, "inputs")
        return inputs  # type: ignore[no-any-return]  # is_object made sure that it is a dict of JSON

    def _unnamed(self, values: Any, form: Form) -> Mapping[str, Any]:
        names = [spec.name for spec in self.signature.inputs]
        if len(names) != 1:
            raise InvalidRequest(
                f"{form.value} has no names, but the model has {len(names)} inputs: {some(names)}; name them in "
                + ("an object for each row" if form is Form.ROWS else "an object")
            )
        return {names[0]: values}

    def _check_names(self, given: Mapping[str, Any], what: str) -> None:
        names = {spec.name: spec for spec in self.signature.inputs}
        for name in given:
            if name not in names:
                hint = closest(name, names) or f"; the model takes {some(names)}"
                raise InvalidRequest(f"{what}: there is no input {shown(name)}{hint}")
        missing = [name for name in names if name not in given]
        if missing:
            raise InvalidRequest(f"{what}: missing {some(missing)}")

    def _tensor(self, spec: TensorSpec, data: Any) -> InputTensor:
        what = f"input {shown(spec.name)}"
        shape = nested.shape_of(data, self.limits.max_rank, what)
        flat = nested.unnest(data, shape, what) if type(data) is list else [data]
        if spec.datatype is DataType.BYTES:
            flat = [_from_base64(value, what) if type(value) is dict else value for value in flat]
        try:
            array = elements.to_array(flat, spec.datatype)
        except elements.WrongElement as error:
            where = f" at index {nested.index_of(error.index, shape)}" if shape else ""
            raise InvalidRequest(
                f"{what}: expected {error.expected}, got {described(error.value)}{where}"
            ) from None
        return InputTensor(spec.name, spec.datatype, array.reshape(_fitted(shape, spec.shape)))


def read_tensors(response: InferResponse) -> PredictAnswer:
    """The outputs under their own names."""
    columns = {
        output.name: AnswerColumn(
            kind_of(output.datatype), texts(output.array) if output.datatype is DataType.BYTES else output.array
        )
        for output in response.outputs
    }
    return PredictAnswer(columns, named=False)


def is_object(value: Any) -> bool:
    """Whether ``value`` holds named values; ``{"b64": …}`` is one value, in a form that JSON can carry."""
    return type(value) is dict and not (len(value) == 1 and type(value.get("b64")) is str)


def _from_base64(value: dict[str, Any], what: str) -> bytes:
    text = value.get("b64")
    if len(value) != 1 or type(text) is not str:
        raise InvalidRequest(f'{what}: expected a text or an object {{"b64": "…"}}, got an object')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{what}: {shown(text)} is not base64") from None


def _fitted(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """``shape``, or the equal one that the model needs: an empty list says nothing about the sizes inside it, and
    rows of plain numbers may stand for a column, shape [rows, 1]."""
    if 0 in shape:
        return shape + tuple(0 if size == DYNAMIC else size for size in wanted[len(shape) :])
    if len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        return (*shape, 1)
    return shape
