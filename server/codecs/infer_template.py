"""ModelInfer messages by pattern: the fast way to read a request and write its answer, without protobuf.

Theory. Requests of one client look alike: the same model, inputs, datatypes and shapes; only the id and the raw
tensors differ, and the tensors' lengths follow from the shapes. So the bytes of a request are

    head | id field, or nothing | frame | tensor | gap | tensor | …

where ``head`` (model name and version), ``frame`` (inputs, outputs, the first tensor's tag and length) and gaps
are constants. A template is *learnt* from a request that the general way has read, and only if putting its parts
together gives the very bytes that came; then a later message that matches can mean nothing else than the same
request with another id and other tensors. Whatever does not match goes the general way, which is always right.
``tests/server/codecs/test_infer_template.py`` holds both ways against each other.

Answers are written the same way round: everything but id and tensors is made once for each number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rapide.proto import open_inference_pb2 as pb
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array, InferRequest

_ID_TAG = 0x1A
"""Field 3, length-delimited (protobuf encoding document, "Message Structure")."""
_RAW_INPUT_TAG = b"\x3a"
_RAW_OUTPUT_TAG = b"\x32"
_MAX_ID_BYTES = 127
"""Longer ids have a length of two bytes; they go the general way."""


def varint(value: int) -> bytes:
    """``value`` ≥ 0 in base 128, least significant group first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True, slots=True)
class RawTensor:
    """Where one tensor stands behind the frame, and what it is."""

    offset: int
    size_bytes: int
    count: int
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    needs_copy: bool
    """Elements wider than a byte must be aligned for the runtime; where they stand in a message is chance."""


class InferTemplate:
    """The pattern of requests that differ in id and tensors only."""

    __slots__ = (
        "_frame",
        "_frame_bytes",
        "_gaps",
        "_head",
        "_head_bytes",
        "_tail_bytes",
        "request",
        "rows",
        "size",
        "tensors",
    )

    def __init__(
        self, head: bytes, frame: bytes, gaps: Sequence[tuple[int, bytes]], tensors: Sequence[RawTensor],
        tail_bytes: int, request: InferRequest,
    ) -> None:  # fmt: skip
        self._head = head
        self._head_bytes = len(head)
        self._frame = frame
        self._frame_bytes = len(frame)
        self._gaps = tuple(gaps)
        self._tail_bytes = tail_bytes
        self.tensors = tuple(tensors)
        self.request = request
        """What such requests say, but for id and tensors."""
        self.size = len(head) + len(frame) + tail_bytes
        """Bytes of a message without an id."""
        shape = request.inputs[0].array.shape
        self.rows = shape[0] if shape else 1

    @property
    def head(self) -> bytes:
        return self._head

    def match(self, buffer: bytes, start: int, end: int) -> tuple[bytes, int] | None:
        """The id and where the first tensor begins, if ``buffer[start:end]`` has this pattern."""
        if not buffer.startswith(self._head, start):
            return None
        position = start + self._head_bytes
        request_id = b""
        if end - start != self.size:
            if position + 2 > end or buffer[position] != _ID_TAG or buffer[position + 1] > _MAX_ID_BYTES:
                return None
            id_start = position + 2
            position = id_start + buffer[position + 1]
            request_id = buffer[id_start:position]
            # Protobuf refuses text that is no UTF-8; what is not plain ASCII is for it to judge.
            if not request_id or not request_id.isascii():
                return None
        if end - position != self._frame_bytes + self._tail_bytes or not buffer.startswith(self._frame, position):
            return None
        position += self._frame_bytes
        for offset, gap in self._gaps:
            if not buffer.startswith(gap, position + offset):
                return None
        return request_id, position

    def raw(self, buffer: bytes, position: int) -> list[bytes]:
        """The tensors' bytes, copied, in the order of the request's inputs."""
        return [
            buffer[position + tensor.offset : position + tensor.offset + tensor.size_bytes]
            for tensor in self.tensors
        ]

    def arrays(self, buffer: bytes, position: int) -> list[Array]:
        """The tensors, as views on ``buffer`` where they are aligned, in the order of the request's inputs."""
        arrays = []
        for tensor in self.tensors:
            array = np.frombuffer(buffer, tensor.dtype, tensor.count, position + tensor.offset)
            if tensor.needs_copy and not array.flags.aligned:
                array = array.copy()
            arrays.append(array.reshape(tensor.shape))
        return arrays


def learn(raw: bytes, message: pb.ModelInferRequest, request: InferRequest) -> InferTemplate | None:
    """The template of ``message``, which was read from ``raw`` and decoded to ``request``; None where it has none.

    ``request`` becomes the template's, and loses its values.

    It has one if every input is raw and of a fixed size, nothing has parameters, and its bytes stand in the order
    in which every protobuf library writes them.
    """
    contents = message.raw_input_contents
    if not contents or len(contents) != len(message.inputs) or message.parameters:
        return None
    if any(tensor.parameters for tensor in message.inputs) or any(out.parameters for out in message.outputs):
        return None
    # BYTES have no fixed size, and not every byte is a BOOL.
    if any(tensor.datatype in (DataType.BYTES, DataType.BOOL) for tensor in request.inputs):
        return None
    if len(message.id) > _MAX_ID_BYTES:
        return None
    head = pb.ModelInferRequest(
        model_name=message.model_name, model_version=message.model_version
    ).SerializeToString()
    middle = pb.ModelInferRequest(inputs=message.inputs, outputs=message.outputs).SerializeToString()
    frame = middle + _RAW_INPUT_TAG + varint(len(contents[0]))
    gaps: list[tuple[int, bytes]] = []
    tensors: list[RawTensor] = []
    offset = 0
    for index, tensor in enumerate(request.inputs):
        if index:
            gap = _RAW_INPUT_TAG + varint(len(contents[index]))
            gaps.append((offset, gap))
            offset += len(gap)
        dtype = NUMPY_DTYPES[tensor.datatype]
        tensors.append(
            RawTensor(
                offset,
                len(contents[index]),
                math.prod(tensor.array.shape),
                dtype,
                tensor.array.shape,
                dtype.itemsize > 1,
            )
        )
        offset += len(contents[index])
        # What is remembered of the request must not keep its tensors: an array of the shape without any memory.
        tensor.array = np.broadcast_to(np.zeros((), dtype), tensor.array.shape)
    template = InferTemplate(head, frame, gaps, tensors, offset, request)
    return template if template.match(raw, 0, len(raw)) is not None else None


class AnswerTemplate:
    """The bytes of a ModelInferResponse around id and tensors, for one version and one choice of outputs.

    ``names`` and ``datatypes`` are the answer's outputs; all have rows as their first dimension, and a row's shape
    is the same in every answer (else there is no such template).
    """

    __slots__ = ("_descriptions", "_head", "_names", "_row_shapes")

    def __init__(
        self,
        model_name: str,
        model_version: str,
        names: Sequence[tuple[str, DataType]],
        row_shapes: Sequence[tuple[int, ...]],
    ) -> None:
        self._head = pb.ModelInferResponse(model_name=model_name, model_version=model_version).SerializeToString()
        self._names = tuple(names)
        self._row_shapes = tuple(row_shapes)
        self._descriptions: dict[int, tuple[bytes, list[bytes]]] = {}

    def encode(self, request_id: bytes, rows: int, tensors: Sequence[bytes]) -> bytes:
        """The serialized answer of ``rows`` rows; ``tensors`` are the raw outputs, in order."""
        known = self._descriptions.get(rows)
        if known is None:
            known = self._descriptions[rows] = self._describe(rows)
            if len(self._descriptions) > 1024:
                self._descriptions = {rows: known}
        description, tags = known
        if len(tensors) == 1:
            if request_id:
                return b"".join(
                    (self._head, b"\x1a", bytes((len(request_id),)), request_id, description, tags[0], tensors[0])
                )
            return b"".join((self._head, description, tags[0], tensors[0]))
        parts = [self._head]
        if request_id:
            parts += (b"\x1a", bytes((len(request_id),)), request_id)
        parts.append(description)
        for tag, tensor in zip(tags, tensors, strict=True):
            parts += (tag, tensor)
        return b"".join(parts)

    def _describe(self, rows: int) -> tuple[bytes, list[bytes]]:
        outputs = [
            pb.ModelInferResponse.InferOutputTensor(name=name, datatype=str(datatype), shape=(rows, *row_shape))
            for (name, datatype), row_shape in zip(self._names, self._row_shapes, strict=True)
        ]
        sizes = [
            rows * math.prod(row_shape) * NUMPY_DTYPES[datatype].itemsize
            for (_, datatype), row_shape in zip(self._names, self._row_shapes, strict=True)
        ]
        return (
            pb.ModelInferResponse(outputs=outputs).SerializeToString(),
            [_RAW_OUTPUT_TAG + varint(size) for size in sizes],
        )
