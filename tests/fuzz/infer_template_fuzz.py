"""ModelInfer by pattern: whatever matches a template that was learnt is read by the general way as by the hot one.

    python -m tests.fuzz.infer_template_fuzz --seconds 3600          (more ways to run it: campaign.py)

An input is two messages, the first preceded by its length in two bytes: a template is learnt from the first, if it
has one, and tried on the second.
"""

from __future__ import annotations

from random import Random
from typing import Any

from google.protobuf.message import DecodeError

from rapide.proto import open_inference_pb2 as pb
from rapide.server.codecs import oip_protobuf
from rapide.server.codecs.infer_template import InferTemplate, learn
from rapide.server.codecs.limits import CodecLimits
from rapide.server.errors import RapideError
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, InferRequest
from tests.fuzz.campaign import Target, main
from tests.fuzz.mutate import mutated

LIMITS = CodecLimits()
AROUND = b"\x0a\x01m\x1a\x01i"
"""What stands before and behind a message in the buffer of a read; it looks like one."""


def attempt(data: bytes) -> None:
    size = int.from_bytes(data[:2], "big")
    first, second = data[2 : 2 + size], data[2 + size :]
    template = learnt(first)
    if template is None:
        return
    assert same(template, first), "a template matches what it was learnt from"
    same(template, second)


def learnt(raw: bytes) -> InferTemplate | None:
    try:
        message = pb.ModelInferRequest.FromString(raw)
        request = oip_protobuf.decode_request(message, None, LIMITS)
    except (DecodeError, RapideError):
        return None
    return learn(raw, message, request)


def same(template: InferTemplate, raw: bytes) -> bool:
    """Whether ``raw`` matches. Raises AssertionError, or what the general way raises, where it means another."""
    buffer = AROUND + raw + AROUND
    match = template.match(buffer, len(AROUND), len(AROUND) + len(raw))
    if match is None:
        return False
    request_id, position = match
    message = pb.ModelInferRequest.FromString(raw)
    general = oip_protobuf.decode_request(message, None, LIMITS)
    assert general.id.encode() == request_id
    assert not general.parameters
    assert _described(general) == _described(template.request)
    for array, tensor in zip(template.arrays(buffer, position), general.inputs, strict=True):
        assert (array.dtype, array.shape) == (tensor.array.dtype, tensor.array.shape)
        assert array.tobytes() == tensor.array.tobytes()
        assert array.flags.aligned
    return True


def _described(request: InferRequest) -> tuple[object, ...]:
    """All that a request says but for id and values."""
    inputs = [(tensor.name, tensor.datatype, tensor.array.shape) for tensor in request.inputs]
    outputs = [(output.name, output.parameters) for output in request.outputs]
    return request.model_name, request.model_version, inputs, outputs


def message_of(random: Random) -> pb.ModelInferRequest:
    """A usual request, or one with something unusual in it."""
    message = pb.ModelInferRequest(
        model_name=random.choice(("", "m", "car-price", "n" * 130)), model_version=random.choice(("", "", "3"))
    )
    for number in range(random.choice((1, 1, 2, 3, 0))):
        datatype = random.choice(list(DataType))
        shape = random.choices((0, 1, 2, 5, 40), k=random.choice((0, 1, 2, 2, 3)))
        message.inputs.add(name=f"input-{number}", datatype=str(datatype), shape=shape)
        count = 1
        for size in shape:
            count *= size
        width = NUMPY_DTYPES[datatype].itemsize if datatype is not DataType.BYTES else 4
        message.raw_input_contents.append(random.randbytes(min(count * width, 20_000)))
    for name in random.choice(((), (), ("label",), ("label", "probabilities"))):
        message.outputs.add(name=name)
    if random.random() < 0.1:
        parts: list[Any] = [message, *message.inputs, *message.outputs]
        random.choice(parts).parameters["p"].int64_param = 1
    if random.random() < 0.1 and message.inputs:
        message.inputs[0].contents.fp32_contents.append(1.0)
    return message


def grow(random: Random) -> bytes:
    message = message_of(random)
    first = _with_id(message, random)
    if random.random() < 0.1:
        first = mutated(first, [first], random)
    for index, tensor in enumerate(message.raw_input_contents):
        message.raw_input_contents[index] = random.randbytes(len(tensor))
    second = _with_id(message, random)
    if random.random() < 0.7:
        second = mutated(second, [first, _with_id(message_of(random), random)], random)
    return len(first).to_bytes(3, "big")[1:] + first + second


def _with_id(message: pb.ModelInferRequest, random: Random) -> bytes:
    message.id = random.choice(("", "1", "some-id", "é", "i" * 127, "i" * 128, "\x1a\x01"))
    return message.SerializeToString()


def seeds() -> list[bytes]:
    random = Random(1)
    return [grow(random) for _ in range(8)]


TARGETS = [Target("infer_template", attempt, seeds(), grow)]

if __name__ == "__main__":
    raise SystemExit(main(__doc__, TARGETS))
