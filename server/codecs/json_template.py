"""The Open Inference Protocol's bodies by pattern: the fast way to read a request over HTTP and write its answer.

Theory. As with protobuf (``infer_template.py``), requests of one client look alike: only the elements differ, and
perhaps what stands behind the JSON. So a JSON body is

    text | data of the first input | text | data of the second | … | text

A template is *learnt* from a body that the general way has read, and only if putting null in the place of each
data gives a document that is equal but for null at exactly these places: then any other JSON value may stand
there, and the document is the same request with other elements. These are read by the very functions of the
general way. Where the data follow the JSON, all of the JSON is constant, and the tensors lie one behind the other.

What does not match, or has an element that is refused, goes the general way, which says what is wrong.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson

from rapide.server.codecs import elements, nested
from rapide.server.codecs.json_text import dump, parse_object
from rapide.server.codecs.oip_json import JsonReply
from rapide.server.errors import InvalidRequest
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array, InferRequest

_ARRAY_CHARS = frozenset(b"0123456789+-.eE,[] \t\r\n")
"""What numbers in lists are written with, nulls aside: a template is learnt from a body that has none."""
_DATA_KEY = b'"data"'
_FORMATS: Final = {
    DataType.FP32: "f",
    DataType.FP64: "d",
    DataType.INT8: "b",
    DataType.INT16: "h",
    DataType.INT32: "i",
    DataType.INT64: "q",
    DataType.UINT8: "B",
    DataType.UINT16: "H",
    DataType.UINT32: "I",
    DataType.UINT64: "Q",
}
"""How ``struct`` packs the datatypes that it rounds and bounds as the general way does."""


class JsonTemplate:
    """The pattern of bodies whose elements are JSON."""

    __slots__ = ("_datatypes", "_packers", "_shapes", "_texts", "is_packed", "reply", "request", "rows")

    def __init__(self, texts: Sequence[bytes], request: InferRequest, reply: JsonReply) -> None:
        """``texts``: what stands before, between and behind the data of the inputs."""
        self._texts = tuple(texts)
        self._shapes = [tensor.array.shape for tensor in request.inputs]
        self._datatypes = [tensor.datatype for tensor in request.inputs]
        self._packers = [
            struct.Struct(f"<{tensor.array.size}{_FORMATS[tensor.datatype]}")
            for tensor in request.inputs
            if tensor.datatype in _FORMATS
        ]
        self.is_packed = len(self._packers) == len(request.inputs)
        """Whether ``raw`` may have them, too."""
        self.request = request
        self.reply = reply
        self.rows = _rows(request)

    def arrays(self, body: bytes) -> list[Array] | None:
        """The inputs in ``body``; None where it has another pattern, or elements that are not taken."""
        data = self._data(body)
        if data is None:
            return None
        found: list[Array] = []
        try:
            for text, shape, datatype in zip(data, self._shapes, self._datatypes, strict=True):
                values = nested.flat_elements(orjson.loads(text), shape, "")
                found.append(elements.to_array(values, datatype).reshape(shape))
        except (orjson.JSONDecodeError, InvalidRequest, elements.WrongElement):
            return None
        return found

    def raw(self, body: bytes) -> list[bytes] | None:
        """The inputs' bytes, where the elements are plain numbers; None where only ``arrays`` can tell.

        Theory. ``struct`` refuses what is no number or does not fit, but for true and false, which are numbers to
        Python; these, and null, are the only JSON values but texts that have a "u" or an "l".
        """
        data = self._data(body)
        if data is None:
            return None
        found: list[bytes] = []
        try:
            for text, shape, packer in zip(data, self._shapes, self._packers, strict=True):
                if b"u" in text or b"l" in text:
                    return None
                found.append(packer.pack(*nested.flat_elements(orjson.loads(text), shape, "")))
        except (orjson.JSONDecodeError, InvalidRequest, struct.error, OverflowError):
            return None
        return found

    def _data(self, body: bytes) -> list[bytes] | None:
        """The JSON text of each input's data; None where ``body`` has another pattern."""
        texts = self._texts
        last = len(texts) - 1
        if not body.startswith(texts[0]) or not body.endswith(texts[last]):
            return None
        found: list[bytes] = []
        start = len(texts[0])
        for place in range(last):
            text = texts[place + 1]
            stop = body.find(text, start) if place + 1 < last else len(body) - len(text)
            if stop < start:
                return None
            found.append(body[start:stop])
            start = stop + len(text)
        return found


class BinaryTemplate:
    """The pattern of bodies whose JSON is constant and whose elements follow it."""

    __slots__ = ("_json", "_size_bytes", "_tensors", "reply", "request", "rows")

    def __init__(self, text: bytes, request: InferRequest, reply: JsonReply) -> None:
        self._json = text
        self._tensors: list[tuple[int, int, np.dtype[Any], tuple[int, ...]]] = []
        position = len(text)
        for tensor in request.inputs:
            dtype, shape = NUMPY_DTYPES[tensor.datatype], tensor.array.shape
            start, position = position, position + math.prod(shape) * dtype.itemsize
            self._tensors.append((start, position, dtype, shape))
        self._size_bytes = position
        self.request = request
        self.reply = reply
        self.rows = _rows(request)

    @property
    def is_packed(self) -> bool:
        """Whether ``raw`` has them, too."""
        return True

    def raw(self, body: bytes) -> list[bytes] | None:
        """The inputs' bytes, copied; None where ``body`` has another pattern."""
        if len(body) != self._size_bytes or not body.startswith(self._json):
            return None
        return [body[start:stop] for start, stop, _, _ in self._tensors]

    def arrays(self, body: bytes) -> list[Array] | None:
        """The inputs in ``body``, views where they are aligned; None where it has another pattern."""
        if len(body) != self._size_bytes or not body.startswith(self._json):
            return None
        arrays = []
        for start, _, dtype, shape in self._tensors:
            array = np.frombuffer(body, dtype, math.prod(shape), start)
            arrays.append((array if array.flags.aligned else array.copy()).reshape(shape))
        return arrays


Template = JsonTemplate | BinaryTemplate


def learn(body: bytes, header_length: int | None, request: InferRequest, reply: JsonReply) -> Template | None:
    """The template of ``body``, which was decoded to ``request`` and ``reply``; None where it has none.

    ``request`` becomes the template's, and loses its values. It has one if all inputs stand in the body in one
    way, are of a fixed size, and nothing is asked for but which outputs, and in which form.
    """
    if not request.inputs or request.parameters.keys() - {"binary_data_output"}:
        return None
    if any(output.parameters.keys() - {"binary_data"} for output in request.outputs):
        return None
    # BYTES have no fixed size, not every byte is a BOOL.
    if any(tensor.datatype in (DataType.BYTES, DataType.BOOL) for tensor in request.inputs):
        return None
    text = body if header_length is None else body[:header_length]
    document = parse_object(text)
    sources = [_source(entry) for entry in document["inputs"]]
    template: Template | None = None
    if header_length is not None and set(sources) == {"binary_data_size"}:
        template = BinaryTemplate(text, request, reply)
    elif header_length is None and set(sources) == {"data"}:
        texts = _texts_around(body, document)
        if texts is not None:
            template = JsonTemplate(texts, request, reply)
    if template is None or not _is_same(template.arrays(body), request):
        return None
    for tensor in request.inputs:
        # What is remembered must not keep its tensors: an array of the shape without any memory.
        tensor.array = np.broadcast_to(np.zeros((), tensor.array.dtype), tensor.array.shape)
    return template


class JsonAnswerTemplate:
    """The bytes of an answer around its elements, for one version, one choice of outputs and one form of each."""

    __slots__ = ("_entries", "_head", "_reply", "_texts", "has_binary")

    def __init__(
        self,
        model_name: str,
        model_version: str,
        request_id: str,
        outputs: Sequence[tuple[str, DataType, tuple[int, ...]]],
        reply: JsonReply,
    ) -> None:
        """``outputs``: name, datatype and the shape of a row; numbers all."""
        head: dict[str, Any] = {"model_name": model_name, "model_version": model_version}
        if request_id:
            head["id"] = request_id
        self._head = dump(head)[:-1] + b',"outputs":['
        self._entries = tuple(outputs)
        self._reply = reply
        self.has_binary = any(reply.is_binary(name) for name, _, _ in outputs)
        self._texts: dict[int, list[bytes]] = {}

    def encode(self, rows: int, data: Sequence[bytes], raw: Sequence[bytes]) -> tuple[bytes, int | None]:
        """The body, and the length of its JSON where a binary part follows (as ``oip_json.encode_response``).

        ``data``: the elements of the outputs in JSON, in order, each a list in JSON; ``raw``: the others' bytes.
        """
        texts = self._texts.get(rows)
        if texts is None:
            if len(self._texts) >= 1024:
                self._texts.clear()
            texts = self._texts[rows] = self._describe(rows)
        if not data:
            text = texts[0]
            return b"".join((text, *raw)), len(text)
        parts = [texts[0]]
        for place, listed in enumerate(data):
            parts.append(listed)
            parts.append(texts[place + 1])
        text = b"".join(parts)
        if not self.has_binary:
            return text, None
        return b"".join((text, *raw)), len(text)

    def _describe(self, rows: int) -> list[bytes]:
        """The text up to the first data in JSON, between, and behind the last."""
        texts: list[bytes] = []
        text = self._head
        for place, (name, datatype, row_shape) in enumerate(self._entries):
            shape = (rows, *row_shape)
            entry: dict[str, Any] = {"name": name, "datatype": str(datatype), "shape": list(shape)}
            text += b"," if place else b""
            if self._reply.is_binary(name):
                size_bytes = math.prod(shape) * NUMPY_DTYPES[datatype].itemsize
                text += dump(entry | {"parameters": {"binary_data_size": size_bytes}})
            else:
                texts.append(text + dump(entry)[:-1] + b',"data":')
                text = b"}"
        return [*texts, text + b"]}"]


def _rows(request: InferRequest) -> int:
    shape = request.inputs[0].array.shape
    return int(shape[0]) if shape else 1


def _source(entry: dict[str, Any]) -> str:
    """Where an input's elements are; empty where it says anything else besides."""
    parameters = entry.get("parameters") or {}
    if entry.get("data") is not None:
        return "data" if not parameters else ""
    return "binary_data_size" if parameters.keys() == {"binary_data_size"} else ""


def _texts_around(body: bytes, document: dict[str, Any]) -> list[bytes] | None:
    """What stands around the data of the inputs, if it can be told from them by its bytes alone."""
    texts: list[bytes] = []
    start = 0
    for _ in document["inputs"]:
        key = body.find(_DATA_KEY, start)
        opening = body.find(b"[", key)
        if key < 0 or opening < 0:
            return None
        stop = opening
        while stop < len(body) and body[stop] in _ARRAY_CHARS:
            stop += 1
        stop = _end_of_list(body, opening, stop)
        if not stop:
            return None
        texts.append(body[start:opening])
        start = stop
    texts.append(body[start:])
    nulled = parse_object(b"null".join(texts))
    blanked = document | {"inputs": [entry | {"data": None} for entry in document["inputs"]]}
    return texts if nulled == blanked and all(texts) else None


def _end_of_list(body: bytes, opening: int, stop: int) -> int:
    """Behind the bracket that closes the one at ``opening``; 0 if there is none before ``stop``."""
    depth = 0
    for place in range(opening, stop):
        octet = body[place]
        if octet == 0x5B:
            depth += 1
        elif octet == 0x5D:
            depth -= 1
            if depth == 0:
                return place + 1
    return 0


def _is_same(arrays: list[Array] | None, request: InferRequest) -> bool:
    return arrays is not None and all(
        array.shape == tensor.array.shape and array.tobytes() == tensor.array.tobytes()
        for array, tensor in zip(arrays, request.inputs, strict=True)
    )
