"""TensorFlow Serving's REST predict API (also KServe v1): the body of ``:predict`` and of its answer.

``{"instances": rows}`` is answered by ``{"predictions": rows}``, ``{"inputs": columns}`` by
``{"outputs": columns}``; a single output of a model without a manifest goes without its name. Floats that are not
finite become null (TensorFlow Serving writes NaN, which is not JSON).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from rapide.server.codecs.columns import AnswerColumn, Form, PredictAnswer, PredictCall
from rapide.server.codecs.describe import described
from rapide.server.codecs.json_text import dump, parse_object
from rapide.server.errors import InvalidRequest

_ANSWER_KEYS = {Form.ROWS: "predictions", Form.COLUMNS: "outputs"}
_BINARY_SUFFIX = "_bytes"
"""TensorFlow Serving's convention: texts of a tensor with such a name are binary, and always written as base64."""


def decode_request(body: bytes | memoryview) -> PredictCall:
    """The call in ``body``. ``signature_name`` may be given: an ONNX model has one signature.

    Raises InvalidRequest unless there is exactly one of ``instances`` and ``inputs``.
    """
    document = parse_object(body)
    signature_name = document.get("signature_name", "")
    if type(signature_name) is not str:
        raise InvalidRequest(f"signature_name must be a text, got {described(signature_name)}")
    forms = [form for form in Form if form.value in document]
    if len(forms) != 1:
        raise InvalidRequest(
            "expected one of instances (rows) and inputs (columns), got "
            + (" and ".join(form.value for form in forms) or "neither")
        )
    return PredictCall(forms[0], document[forms[0].value])


def encode_response(answer: PredictAnswer, form: Form) -> bytes:
    """The body. Raises InvalidRequest when rows are asked for and the outputs do not have one for each row."""
    columns = {name: _json_values(name, column) for name, column in answer.columns.items()}
    key = _ANSWER_KEYS[form]
    if len(columns) == 1 and not answer.named:
        return dump({key: next(iter(columns.values()))})
    return dump({key: columns if form is Form.COLUMNS else _as_rows(answer.columns, columns)})


def _as_rows(columns: Mapping[str, AnswerColumn], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    shapes = {name: column.values.shape for name, column in columns.items()}
    if not all(shapes.values()) or len({shape[0] for shape in shapes.values()}) > 1:
        sizes = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise InvalidRequest(f"the outputs do not have one entry for each row ({sizes}); use the inputs form")
    # Floats stay numpy's, so that an FP32 0.1 is written 0.1 and not 0.10000000149011612.
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _json_values(name: str, column: AnswerColumn) -> Any:
    """What ``dump`` can write: a (nested) list or a numeric array."""
    array = column.values
    if array.dtype == object:
        binary = name.endswith(_BINARY_SUFFIX)
        out = np.empty(array.shape, dtype=object)
        out.reshape(-1)[:] = [_json_text(item, binary) for item in array.reshape(-1).tolist()]
        return out.tolist()
    if array.dtype.kind in "iub":  # orjson knows no scalars of C's long long, ONNX Runtime's INT64
        return array.tolist()
    if array.dtype.itemsize == 2:  # FP16 and BF16, which orjson does not write
        array = array.astype(np.float32)
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _json_text(item: str | bytes, binary: bool) -> Any:
    if isinstance(item, str):
        if not binary:
            return item
        item = item.encode()
    return {"b64": base64.b64encode(item).decode()}
