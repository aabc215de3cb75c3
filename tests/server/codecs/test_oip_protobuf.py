"""gRPC messages: every datatype raw, typed and in shared memory, as tritonclient sends them; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient import grpc as triton
from tritonclient.grpc._utils import _get_inference_request

from rapide.proto import open_inference_pb2 as pb
from rapide.server.codecs import oip_protobuf, tensor_bytes
from rapide.server.codecs.limits import CodecLimits
from rapide.server.errors import InvalidRequest, RapideError, TooLarge, Unimplemented
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, InferRequest, InferResponse, OutputTensor
from tests.server.codecs import strategies
from tests.server.codecs.strategies import assert_same_array, assert_same_request, few

Tensor = pb.ModelInferRequest.InferInputTensor
FIELDS = {
    DataType.BOOL: "bool_contents",
    **dict.fromkeys((DataType.INT8, DataType.INT16, DataType.INT32), "int_contents"),
    DataType.INT64: "int64_contents",
    **dict.fromkeys((DataType.UINT8, DataType.UINT16, DataType.UINT32), "uint_contents"),
    DataType.UINT64: "uint64_contents",
    DataType.FP32: "fp32_contents",
    DataType.FP64: "fp64_contents",
    DataType.BYTES: "bytes_contents",
}


def message_of(request: InferRequest, fill: Callable[[pb.ModelInferRequest, int], None]) -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(
        model_name=request.model_name,
        model_version=request.model_version,
        id=request.id,
        parameters=oip_protobuf.encode_parameters(request.parameters),
        inputs=[Tensor(name=i.name, datatype=i.datatype, shape=i.array.shape) for i in request.inputs],
        outputs=[
            pb.ModelInferRequest.InferRequestedOutputTensor(
                name=output.name, parameters=oip_protobuf.encode_parameters(output.parameters)
            )
            for output in request.outputs
        ],
    )
    for index in range(len(request.inputs)):
        fill(message, index)
    return pb.ModelInferRequest.FromString(message.SerializeToString())


def simple(**changes: Any) -> pb.ModelInferRequest:
    """A request of one FP32 input x of shape [2], changed."""
    tensor = Tensor(**{"name": "x", "datatype": "FP32", "shape": [2]} | changes.pop("x", {}))
    return pb.ModelInferRequest(**{"model_name": "m", "inputs": [tensor]} | changes)


@given(strategies.requests(strategies.ALL))
def test_raw_requests_come_back(request: InferRequest) -> None:
    def raw(message: pb.ModelInferRequest, index: int) -> None:
        tensor = request.inputs[index]
        message.raw_input_contents.append(bytes(tensor_bytes.to_bytes(tensor.array, tensor.datatype)))

    assert_same_request(oip_protobuf.decode_request(message_of(request, raw)), request)


@given(strategies.requests(strategies.WITH_TEXT_FORM))
def test_typed_requests_come_back(request: InferRequest) -> None:
    def typed(message: pb.ModelInferRequest, index: int) -> None:
        tensor = request.inputs[index]
        contents = getattr(message.inputs[index].contents, FIELDS[tensor.datatype])
        contents.extend(tensor.array.reshape(-1).tolist())

    assert_same_request(oip_protobuf.decode_request(message_of(request, typed)), request)


@pytest.mark.parametrize("datatype", strategies.ALL)
@few
@given(data=st.data())
def test_shared_memory_is_read(datatype: DataType, data: st.DataObject) -> None:
    array = data.draw(strategies.arrays(datatype))
    region = b"...." + bytes(tensor_bytes.to_bytes(array, datatype))
    message = pb.ModelInferRequest(inputs=[Tensor(name="x", datatype=datatype, shape=array.shape)])
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    message.inputs[0].parameters["shared_memory_offset"].int64_param = 4
    message.inputs[0].parameters["shared_memory_byte_size"].int64_param = len(region) - 4
    decoded = oip_protobuf.decode_request(
        message, lambda name, offset, size: memoryview({"r": region}[name])[offset : offset + size]
    )
    assert_same_array(decoded.inputs[0].array, array)


def test_shared_and_raw_inputs_may_stand_together() -> None:
    message = simple(raw_input_contents=[np.float32([3, 4]).tobytes()])
    message.inputs.insert(0, Tensor(name="s", datatype="INT8", shape=[1]))
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    message.inputs[0].parameters["shared_memory_byte_size"].int64_param = 1
    decoded = oip_protobuf.decode_request(message, lambda name, offset, size: memoryview(b"\x07"))
    assert [i.array.tolist() for i in decoded.inputs] == [[7], [3.0, 4.0]]


@pytest.mark.parametrize("datatype", strategies.ALL)
@few
@given(data=st.data())
def test_tritonclient_is_understood_and_understands(datatype: DataType, data: st.DataObject) -> None:
    array = data.draw(strategies.arrays(datatype))
    tensor = triton.InferInput("x", list(array.shape), datatype.value)
    tensor.set_data_from_numpy(array)
    sent = _get_inference_request(
        "m", [tensor], "3", "id", [triton.InferRequestedOutput("y", 2)], 0, False, False, 0, 500, {"p": 1.5}
    )
    decoded = oip_protobuf.decode_request(pb.ModelInferRequest.FromString(sent.SerializeToString()))
    assert (decoded.model_name, decoded.model_version, decoded.id) == ("m", "3", "id")
    assert decoded.parameters == {"p": 1.5, "timeout": 500}
    assert decoded.outputs[0].parameters == {"classification": 2}
    assert_same_array(decoded.inputs[0].array, array)

    answer = oip_protobuf.encode_response(InferResponse("m", "3", "id", [OutputTensor("x", datatype, array)]))
    theirs = triton.service_pb2.ModelInferResponse.FromString(answer.SerializeToString())
    read = triton.InferResult(theirs).as_numpy("x")
    assert_same_array(read.astype(NUMPY_DTYPES[datatype]), array)


def test_parameters_of_every_type_come_back() -> None:
    values = {"b": True, "i": -5, "s": "text", "d": 0.5, "u": 2**64 - 1, "most": 2**63 - 1}
    encoded = oip_protobuf.encode_parameters(values)
    assert encoded["u"].WhichOneof("parameter_choice") == "uint64_param"
    assert encoded["most"].WhichOneof("parameter_choice") == "int64_param"
    assert encoded["b"].WhichOneof("parameter_choice") == "bool_param"
    assert oip_protobuf.decode_parameters(encoded, "x") == values


def test_outputs_and_their_parameters_are_encoded_raw() -> None:
    response = InferResponse(
        "m",
        "1",
        "id",
        [
            OutputTensor("shared", DataType.INT8, np.int8([1]), {"shared_memory_region": "r"}),
            OutputTensor("y", DataType.INT8, np.int8([[1, 2]]), {"p": 1}),
        ],
        {"q": "x"},
    )
    message = oip_protobuf.encode_response(response)
    assert list(message.raw_output_contents) == [b"", b"\x01\x02"]  # one entry for each output, in order
    assert [tuple(output.shape) for output in message.outputs] == [(1,), (1, 2)]
    assert message.outputs[1].parameters["p"].int64_param == 1
    assert message.parameters["q"].string_param == "x"
    assert (message.model_name, message.model_version, message.id) == ("m", "1", "id")


def test_empty_typed_contents_are_tolerated_beside_raw_ones() -> None:
    message = simple(raw_input_contents=[bytes(8)])
    message.inputs[0].contents.SetInParent()
    assert oip_protobuf.decode_request(message).inputs[0].array.tolist() == [0, 0]


def test_an_empty_batch_needs_no_contents() -> None:
    assert oip_protobuf.decode_request(simple(x={"shape": [0, 3]})).inputs[0].array.shape == (0, 3)


def test_the_encoding_is_known_for_the_usage_profile() -> None:
    assert oip_protobuf.encoding(simple(raw_input_contents=[bytes(8)])) == "protobuf-raw"
    assert oip_protobuf.encoding(simple()) == "protobuf-typed"


def contents(**fields: Any) -> dict[str, Any]:
    return {"contents": pb.InferTensorContents(**fields)}


UNKNOWN_PARAMETER = pb.InferParameter.FromString(b"\x32\x03abc")  # field 6, which nobody has defined

REFUSED = {
    "datatype": (
        simple(x={"datatype": "FLOAT"}),
        "input 'x': datatype 'FLOAT' is unknown; expected one of BOOL, ",
    ),
    "negative": (simple(x={"shape": [-1, 2]}), "input 'x' has shape [-1, 2]; every size must be 0 or more"),
    "no-data": (simple(), "input 'x' has 0 elements in fp32_contents; its shape [2] needs 2"),
    "few": (
        simple(x=contents(fp32_contents=[1])),
        "input 'x' has 1 elements in fp32_contents; its shape [2] needs 2",
    ),
    "many": (
        simple(x=contents(fp32_contents=[1, 2, 3])),
        "input 'x' has 3 elements in fp32_contents; its shape [2] needs 2",
    ),
    "field": (
        simple(x=contents(fp64_contents=[1, 2])),
        "input 'x': FP32 elements belong in fp32_contents, got fp64_contents",
    ),
    "two-fields": (
        simple(x=contents(fp32_contents=[1, 2], int_contents=[1])),
        "input 'x': FP32 elements belong in fp32_contents, got int_contents, fp32_contents",
    ),
    "fp16-typed": (
        simple(x={"datatype": "FP16"} | contents(fp32_contents=[1, 2])),
        "input 'x': FP16 has no typed form; send it in raw_input_contents",
    ),
    "int8-range": (
        simple(x={"datatype": "INT8"} | contents(int_contents=[1, 128])),
        "input 'x': element 1 is 128; INT8 takes whole numbers from -128 to 127",
    ),
    "uint16-range": (
        simple(x={"datatype": "UINT16"} | contents(uint_contents=[65536, 1])),
        "input 'x': element 0 is 65536; UINT16 takes whole numbers from 0 to 65535",
    ),
    "raw-size": (simple(raw_input_contents=[bytes(7)]), "input 'x' has 7 bytes; shape [2] of FP32 needs 8"),
    "raw-surplus": (
        simple(raw_input_contents=[bytes(8), bytes(8)]),
        "raw_input_contents has 2 entries; expected one for each of the 1 inputs that is not in shared memory",
    ),
    "raw-and-typed": (
        simple(x=contents(fp32_contents=[1, 2]), raw_input_contents=[bytes(8)]),
        "input 'x' belongs in raw_input_contents, as other inputs are; it must not have typed contents too",
    ),
    "raw-missing": (
        simple(
            inputs=[Tensor(name=name, datatype="FP32", shape=[2]) for name in "xy"], raw_input_contents=[bytes(8)]
        ),
        "input 'y' has no entry in raw_input_contents; either all inputs are raw or none is",
    ),
    "parameter": (
        simple(x={"parameters": {"p": UNKNOWN_PARAMETER}}),
        "input 'x': parameter 'p' has no value of a known type; expected bool, int64, string, double or uint64",
    ),
    "request-parameter": (
        simple(parameters={"p": pb.InferParameter()}, raw_input_contents=[bytes(8)]),
        "the request: parameter 'p' has no value of a known type; expected bool, int64, string, double or uint64",
    ),
    "twice": (
        simple(
            outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="y")] * 2, raw_input_contents=[bytes(8)]
        ),
        "output 'y' is asked for more than once",
    ),
    "shared-and-typed": (
        simple(
            x=contents(fp32_contents=[1, 2])
            | {
                "parameters": {
                    "shared_memory_region": pb.InferParameter(string_param="r"),
                    "shared_memory_byte_size": pb.InferParameter(int64_param=8),
                }
            }
        ),
        "input 'x' is in shared memory; it must not have typed contents too",
    ),
}


@pytest.mark.parametrize(("message", "text"), REFUSED.values(), ids=REFUSED)
def test_what_contradicts_itself_is_refused(message: pb.ModelInferRequest, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        oip_protobuf.decode_request(message)
    assert error.value.message.startswith(text)


@pytest.mark.parametrize(
    ("message", "error", "text"),
    [
        (
            simple(inputs=[Tensor(name=str(i), datatype="FP32", shape=[0]) for i in range(10_000)]),
            TooLarge,
            "the request has 10000 inputs; at most 4096 are allowed",
        ),
        (
            simple(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name=str(i)) for i in range(5000)]),
            TooLarge,
            "the request asks for 5000 outputs; at most 4096 are allowed",
        ),
        (
            simple(x={"shape": [2**62, 4]}),
            TooLarge,
            f"input 'x' has shape [{2**62}, 4]; at most {2**28} elements are",
        ),
        (
            simple(
                x={
                    "parameters": {
                        "shared_memory_region": pb.InferParameter(string_param="r"),
                        "shared_memory_byte_size": pb.InferParameter(uint64_param=8),
                    }
                }
            ),
            Unimplemented,
            "input 'x' is in shared memory, which this server does not offer",
        ),
    ],
    ids=["inputs", "outputs", "elements", "shared-memory-off"],
)
def test_bounds(message: pb.ModelInferRequest, error: type[RapideError], text: str) -> None:
    with pytest.raises(error) as raised:
        oip_protobuf.decode_request(message)
    assert raised.value.message.startswith(text)


def test_bounds_are_settable() -> None:
    with pytest.raises(TooLarge, match="at most 0 are allowed"):
        oip_protobuf.decode_request(simple(), limits=CodecLimits(max_inputs=0))
