"""A fuzz target for every codec: whatever bytes come, only a RapideError may come out, and it says something.

    python -m tests.fuzz.codecs_fuzz                    # all targets, 60 s, random changes to good messages
    python -m tests.fuzz.codecs_fuzz oip_json --seconds 3600

More ways to run it: campaign.py.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from google.protobuf.message import DecodeError

from rapide.proto import open_inference_pb2, predict_pb2
from rapide.server.codecs import byte_strings, oip_json, oip_protobuf, predict_protobuf, tf_rest
from rapide.server.codecs.columns import PredictAnswer, PredictCall
from rapide.server.codecs.named import predict_codec
from rapide.server.errors import InvalidRequest, RapideError
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import InferRequest, InferResponse, OutputTensor, bind
from tests.fuzz.campaign import Target, main
from tests.server.codecs.car_price import FEATURES, PREDICTIONS, SIGNATURE, response, row

FEATURE_CODEC = predict_codec(SIGNATURE, FEATURES, PREDICTIONS)
TENSOR_CODEC = predict_codec(
    Signature(
        (TensorSpec("x", DataType.FP32, (-1, 2)), TensorSpec("t", DataType.BYTES, (-1,))), (), batchable=True
    )
)
REGION = bytes(range(64))


def read_region(name: str, offset: int, byte_size: int) -> memoryview:
    if offset + byte_size > len(REGION):
        raise InvalidRequest(f"region {name!r} ends before {offset + byte_size}")
    return memoryview(REGION)[offset : offset + byte_size]


def oip_json_target(data: bytes) -> None:
    """The first byte says how far before the end the JSON part ends (255: there is no header)."""
    body = data[1:]
    cut = data[0] if data else 255
    header_length = None if cut == 255 else len(body) - cut
    request, reply = oip_json.decode_request(body, header_length, "m", read_region=read_region)
    _check(request)
    oip_json.encode_response(_echo(request), reply)


def oip_protobuf_target(data: bytes) -> None:
    message = open_inference_pb2.ModelInferRequest.FromString(data)
    request = oip_protobuf.decode_request(message, read_region)
    _check(request)
    oip_protobuf.encode_response(_echo(request)).SerializeToString()


def tf_rest_target(data: bytes) -> None:
    call = tf_rest.decode_request(data)
    tf_rest.encode_response(_predicted(call), call.form)


def predict_protobuf_target(data: bytes) -> None:
    request = predict_protobuf.decode_request(predict_pb2.PredictRequest.FromString(data))
    predict_protobuf.encode_response(
        _predicted(request.call), model=request.model, version="1", label="", request_id=request.request_id
    ).SerializeToString()


def byte_strings_target(data: bytes) -> None:
    """The first byte is the number of elements that the shape promises."""
    array = byte_strings.decode(data[1:], data[0] if data else 0, "input 'x'")
    assert byte_strings.encode(array) == data[1:]


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "oip_json": oip_json_target,
        "oip_protobuf": oip_protobuf_target,
        "tf_rest": tf_rest_target,
        "predict_protobuf": predict_protobuf_target,
        "byte_strings": byte_strings_target,
    }
)


def try_one(target: Callable[[bytes], None], data: bytes) -> bool:
    """Whether ``data`` was accepted. Raises whatever it should not have raised."""
    try:
        target(data)
    except RapideError as error:
        _check_message(error.message)
        return False
    except DecodeError:  # protobuf's own refusal, which the gRPC engines turn into a status
        return False
    return True


def _check_message(message: str) -> None:
    assert message, "an error must say what is wrong"
    assert len(message) < 2000, "an error must not repeat the message that caused it"
    message.encode()  # what cannot be sent is no answer


def seeds() -> dict[str, list[bytes]]:
    """Good messages for each target."""
    plain = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2.5], [None, 4]]}
    binary = {"name": "b", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}}
    shared = {"shared_memory_region": "r", "shared_memory_byte_size": 16, "shared_memory_offset": 4}
    texts = {"name": "t", "datatype": "BYTES", "shape": [2], "data": ["a", "é"]}
    outputs = [{"name": "x", "parameters": {"binary_data": True, "classification": 2}}]
    typed = open_inference_pb2.ModelInferRequest(model_name="m", id="1")
    tensor = typed.inputs.add(name="x", datatype="UINT8", shape=[2])
    tensor.contents.uint_contents.extend([1, 2])
    typed.parameters["p"].double_param = 0.5
    raw = open_inference_pb2.ModelInferRequest(raw_input_contents=[bytes(8), b"\x01\x00\x00\x00a"])
    raw.inputs.add(name="x", datatype="FP32", shape=[2])
    raw.inputs.add(name="t", datatype="BYTES", shape=[1])
    columns = {
        "make": predict_pb2.Column(strings=predict_pb2.Strings(values=["Ford"])),
        "mileage": predict_pb2.Column(floats=predict_pb2.Floats(values=[1.5])),
        "year": predict_pb2.Column(integers=predict_pb2.Integers(values=[2015])),
        "doors": predict_pb2.Column(integers=predict_pb2.Integers(values=[5]), missing=[0]),
        "automatic": predict_pb2.Column(booleans=predict_pb2.Booleans(values=[True])),
    }
    return {
        "oip_json": [
            b"\xff" + json.dumps({"inputs": [plain, texts], "id": "1", "outputs": outputs}).encode(),
            b"\x04"
            + json.dumps({"inputs": [binary], "parameters": {"binary_data_output": True}}).encode()
            + bytes(4),
            b"\xff" + json.dumps({"inputs": [{**plain, "data": None, "parameters": shared}]}).encode(),
        ],
        "oip_protobuf": [typed.SerializeToString(), raw.SerializeToString()],
        "tf_rest": [
            json.dumps({"instances": [row(), row(make=None, owners=None)]}).encode(),
            json.dumps({"inputs": {name: [value] for name, value in row().items()}}).encode(),
            json.dumps({"instances": [{"x": [1, 2], "t": {"b64": "AA=="}}], "signature_name": "s"}).encode(),
        ],
        "predict_protobuf": [predict_pb2.PredictRequest(model="m", columns=columns).SerializeToString()],
        "byte_strings": [b"\x02\x01\x00\x00\x00a\x02\x00\x00\x00bc", b"\x01\x00\x00\x00\x00", b"\x00"],
    }


def targets() -> list[Target]:
    """All of them, for the campaign."""
    good = seeds()
    return [Target(name, partial(try_one, target), good[name]) for name, target in TARGETS.items()]


def _check(request: InferRequest) -> None:
    """What the service does next must be safe too: binding to a signature, here one of the request's making."""
    specs = [TensorSpec(tensor.name, tensor.datatype, tensor.array.shape) for tensor in request.inputs]
    bind(request, Signature(tuple(specs), (), batchable=False))


def _echo(request: InferRequest) -> InferResponse:
    outputs = [OutputTensor(tensor.name, tensor.datatype, tensor.array) for tensor in request.inputs]
    return InferResponse("m", "1", request.id, outputs, request.parameters)


def _predicted(call: PredictCall) -> PredictAnswer:
    with contextlib.suppress(RapideError):  # the other codec may still understand it
        TENSOR_CODEC.request(call)
    request, read = FEATURE_CODEC.request(call)
    arrays = bind(request, SIGNATURE)
    return read(response(arrays[0].shape[0]))


if __name__ == "__main__":
    raise SystemExit(main(__doc__, targets()))
