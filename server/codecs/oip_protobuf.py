"""The Open Inference Protocol's gRPC messages to InferRequest, and InferResponse to its message.

Elements come raw (``raw_input_contents``: all inputs, in order) or typed (``contents``: all inputs); those in
shared memory belong to neither. Answers are always raw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rapide.proto import open_inference_pb2 as pb
from rapide.server.codecs import byte_strings, tensor_bytes
from rapide.server.codecs.describe import shown
from rapide.server.codecs.limits import DEFAULT_LIMITS, CodecLimits
from rapide.server.codecs.parameters import ReadRegion, check_outputs, read_shared, shared_region
from rapide.server.codecs.shapes import check_shape
from rapide.server.errors import InvalidRequest, TooLarge
from rapide.server.signature import DataType
from rapide.server.tensors import (
    NUMPY_DTYPES,
    Array,
    InferRequest,
    InferResponse,
    InputTensor,
    OutputTensor,
    Parameter,
    RequestedOutput,
)

CONTENTS_FIELD: Mapping[DataType, str] = {
    DataType.BOOL: "bool_contents",
    DataType.INT8: "int_contents",
    DataType.INT16: "int_contents",
    DataType.INT32: "int_contents",
    DataType.INT64: "int64_contents",
    DataType.UINT8: "uint_contents",
    DataType.UINT16: "uint_contents",
    DataType.UINT32: "uint_contents",
    DataType.UINT64: "uint64_contents",
    DataType.FP32: "fp32_contents",
    DataType.FP64: "fp64_contents",
    DataType.BYTES: "bytes_contents",
}
"""The field of ``contents`` that holds a datatype's elements; the others travel raw only."""
_NARROW_INTEGERS = frozenset({DataType.INT8, DataType.INT16, DataType.UINT8, DataType.UINT16})
"""Datatypes whose typed field can hold more than they can."""
_INT64_MAX = 2**63 - 1


def decode_request(
    message: pb.ModelInferRequest,
    read_region: ReadRegion | None = None,
    limits: CodecLimits = DEFAULT_LIMITS,
) -> InferRequest:
    """The request in ``message``; raw inputs are views of bytes that protobuf copied out of the message once.

    Raises InvalidRequest, naming the input, for a datatype, shape, element count or parameter that cannot be, and
    for a mix of raw and typed inputs; TooLarge above ``limits``; what ``read_region`` raises.
    """
    if len(message.inputs) > limits.max_inputs:
        raise TooLarge(f"the request has {len(message.inputs)} inputs; at most {limits.max_inputs} are allowed")
    if len(message.outputs) > limits.max_outputs:
        raise TooLarge(
            f"the request asks for {len(message.outputs)} outputs; at most {limits.max_outputs} are allowed"
        )
    return InferRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        id=message.id,
        inputs=_decode_inputs(message, read_region, limits),
        # Empty in most requests, and asking costs a tenth of going through them.
        outputs=_decode_outputs(message) if message.outputs else [],
        parameters=decode_parameters(message.parameters, "the request") if message.parameters else {},
    )


def encoding(message: pb.ModelInferRequest) -> str:
    """How the elements came, for the usage profile."""
    return "protobuf-raw" if message.raw_input_contents else "protobuf-typed"


def encode_response(response: InferResponse) -> pb.ModelInferResponse:
    """The answer with raw outputs. An output in shared memory has an empty entry: clients count by position."""
    message = pb.ModelInferResponse(
        model_name=response.model_name,
        model_version=response.model_version,
        id=response.id,
        raw_output_contents=[_raw_output(output) for output in response.outputs],
    )
    if response.parameters:
        _set_parameters(message.parameters, response.parameters)
    for output in response.outputs:
        tensor = message.outputs.add(name=output.name, datatype=output.datatype.value, shape=output.array.shape)
        if output.parameters:
            _set_parameters(tensor.parameters, output.parameters)
    return message


def decode_parameters(parameters: Mapping[str, Any], what: str) -> dict[str, Parameter]:
    """An InferParameter map as values. Raises InvalidRequest for one whose type this server does not know."""
    decoded: dict[str, Parameter] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(
                f"{what}: parameter {shown(name)} has no value of a known type; "
                "expected bool, int64, string, double or uint64"
            )
        decoded[name] = getattr(parameter, choice)
    return decoded


def encode_parameters(parameters: Mapping[str, Parameter]) -> dict[str, pb.InferParameter]:
    return {name: _encode_parameter(value) for name, value in parameters.items()}


def _set_parameters(target: Any, parameters: Mapping[str, Parameter]) -> None:
    for name, value in encode_parameters(parameters).items():
        target[name].CopyFrom(value)


def _encode_parameter(value: Parameter) -> pb.InferParameter:
    match value:
        case bool():
            return pb.InferParameter(bool_param=value)
        case int():
            return (
                pb.InferParameter(int64_param=value)
                if value <= _INT64_MAX
                else pb.InferParameter(uint64_param=value)
            )
        case float():
            return pb.InferParameter(double_param=value)
        case str():
            return pb.InferParameter(string_param=value)


def _raw_output(output: OutputTensor) -> bytes:
    if "shared_memory_region" in output.parameters:
        return b""
    if output.datatype is DataType.BYTES:
        return byte_strings.encode(output.array)
    return output.array.tobytes()


def _decode_outputs(message: pb.ModelInferRequest) -> list[RequestedOutput]:
    outputs = [
        RequestedOutput(output.name, decode_parameters(output.parameters, f"output {shown(output.name)}"))
        for output in message.outputs
    ]
    check_outputs(outputs)
    return outputs


def _decode_inputs(
    message: pb.ModelInferRequest, read_region: ReadRegion | None, limits: CodecLimits
) -> list[InputTensor]:
    raw = iter(message.raw_input_contents) if message.raw_input_contents else None
    inputs = [_decode_input(tensor, raw, read_region, limits) for tensor in message.inputs]
    if raw is not None and next(raw, None) is not None:
        raise InvalidRequest(
            f"raw_input_contents has {len(message.raw_input_contents)} entries; "
            f"expected one for each of the {len(inputs)} inputs that is not in shared memory"
        )
    return inputs


def _decode_input(
    tensor: pb.ModelInferRequest.InferInputTensor,
    raw: Iterator[bytes] | None,
    read_region: ReadRegion | None,
    limits: CodecLimits,
) -> InputTensor:
    name = tensor.name
    what = f"input {shown(name)}"
    try:
        datatype = DataType.parse(tensor.datatype)
    except InvalidRequest as error:
        raise InvalidRequest(f"{what}: {error.message}") from None
    shape = tuple(tensor.shape)
    check_shape(shape, what, limits)
    region = shared_region(decode_parameters(tensor.parameters, what), what) if tensor.parameters else None
    if region is not None:
        _refuse_contents(tensor, what, "is in shared memory")
        array = tensor_bytes.to_array(read_shared(region, read_region, what), datatype, shape, what)
    elif raw is not None:
        _refuse_contents(tensor, what, "belongs in raw_input_contents, as other inputs are")
        data = next(raw, None)
        if data is None:
            raise InvalidRequest(
                f"{what} has no entry in raw_input_contents; either all inputs are raw or none is"
            )
        array = tensor_bytes.to_array(data, datatype, shape, what)
    else:
        array = _decode_contents(tensor.contents, datatype, shape, what)
    return InputTensor(name, datatype, array)


def _refuse_contents(tensor: pb.ModelInferRequest.InferInputTensor, what: str, why: str) -> None:
    if tensor.HasField("contents") and tensor.contents.ByteSize():
        raise InvalidRequest(f"{what} {why}; it must not have typed contents too")


def _decode_contents(
    contents: pb.InferTensorContents, datatype: DataType, shape: tuple[int, ...], what: str
) -> Array:
    field = CONTENTS_FIELD.get(datatype)
    if field is None:
        raise InvalidRequest(f"{what}: {datatype} has no typed form; send it in raw_input_contents")
    filled = [descriptor.name for descriptor, _ in contents.ListFields()]
    if filled not in ([], [field]):
        raise InvalidRequest(f"{what}: {datatype} elements belong in {field}, got {', '.join(filled)}")
    values = getattr(contents, field)
    count = math.prod(shape)
    if len(values) != count:
        raise InvalidRequest(
            f"{what} has {len(values)} elements in {field}; its shape {list(shape)} needs {count}"
        )
    if datatype is DataType.BYTES:
        array = np.empty(count, dtype=object)
        array[:] = list(values)
        return array.reshape(shape)
    return _narrowed(np.array(values, dtype=_WIDE[field]), datatype, what).reshape(shape)


_WIDE = {
    "bool_contents": np.bool_,
    "int_contents": np.int32,
    "int64_contents": np.int64,
    "uint_contents": np.uint32,
    "uint64_contents": np.uint64,
    "fp32_contents": np.float32,
    "fp64_contents": np.float64,
}


def _narrowed(wide: Array, datatype: DataType, what: str) -> Array:
    if datatype not in _NARROW_INTEGERS:
        return wide
    bounds = np.iinfo(NUMPY_DTYPES[datatype])
    outside = (wide < bounds.min) | (wide > bounds.max)
    if outside.any():
        index = int(outside.argmax())
        raise InvalidRequest(
            f"{what}: element {index} is {wide[index]}; {datatype} takes whole numbers "
            f"from {bounds.min} to {bounds.max}"
        )
    return wide.astype(NUMPY_DTYPES[datatype])
