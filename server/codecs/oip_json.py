"""The Open Inference Protocol's JSON to InferRequest, and InferResponse to JSON, with the binary tensor extension.

A body is a JSON object; with the header ``Inference-Header-Content-Length`` the JSON has that many bytes, and the
tensors whose ``parameters`` hold ``binary_data_size`` follow it in the order of ``inputs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rapide.server.codecs import elements, nested, tensor_bytes
from rapide.server.codecs.binary_part import BinaryPart, split_body
from rapide.server.codecs.describe import described, shown
from rapide.server.codecs.json_text import dump, parse_object
from rapide.server.codecs.limits import DEFAULT_LIMITS, CodecLimits
from rapide.server.codecs.parameters import (
    ReadRegion,
    check_outputs,
    flag_parameter,
    json_parameters,
    read_shared,
    shared_region,
    size_parameter,
)
from rapide.server.codecs.shapes import check_shape
from rapide.server.errors import InvalidRequest, TooLarge
from rapide.server.signature import DataType
from rapide.server.tensors import (
    Array,
    InferRequest,
    InferResponse,
    InputTensor,
    OutputTensor,
    RequestedOutput,
)

_BINARY_ONLY = frozenset({DataType.FP16, DataType.BF16})
_SIZE_BITS = 63
"""Sizes are int64 on gRPC's wire; anything larger is no size."""


@dataclass(frozen=True, slots=True)
class JsonReply:
    """How the caller wants each output encoded: ``binary_data`` of the output, else ``binary_data_output``."""

    encoding: str
    """``json`` or ``json+binary``: how the request came, for the usage profile."""
    binary: bool = False
    binary_by_name: Mapping[str, bool] | None = None

    def is_binary(self, name: str) -> bool:
        return self.binary if self.binary_by_name is None else self.binary_by_name.get(name, self.binary)


def decode_request(
    body: bytes | memoryview,
    header_length: int | None,
    model_name: str,
    model_version: str = "",
    limits: CodecLimits = DEFAULT_LIMITS,
    read_region: ReadRegion | None = None,
) -> tuple[InferRequest, JsonReply]:
    """The request in ``body``, and how to encode its answer; binary inputs are views of ``body``.

    Raises InvalidRequest, naming the input, for JSON of another form, a datatype, shape, element or parameter that
    cannot be, and binary parts that do not add up; TooLarge above ``limits``; what ``read_region`` raises.
    """
    text, binary = split_body(body, header_length)
    document = parse_object(text)
    raw_inputs = _list_of_objects(document.get("inputs"), "inputs", limits.max_inputs, required=True)
    raw_outputs = _list_of_objects(document.get("outputs"), "outputs", limits.max_outputs, required=False)
    parameters = json_parameters(document, "the request")
    outputs = [_decode_output(raw) for raw in raw_outputs]
    check_outputs(outputs)
    inputs = [_decode_input(raw, binary, read_region, limits) for raw in raw_inputs]
    binary.check_used_up()
    request = InferRequest(model_name, model_version, _id(document), inputs, outputs, parameters)
    return request, _reply(request, header_length)


def encode_response(response: InferResponse, reply: JsonReply) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON part where a binary part follows (else None).

    Floats that are not finite become null. Raises InvalidRequest for outputs without a JSON form: FP16, BF16 and
    BYTES that are not UTF-8, unless they were asked for as binary.
    """
    outputs = []
    binary_parts: list[bytes | memoryview] = []
    for output in response.outputs:
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": str(output.datatype),
            "shape": list(output.array.shape),
        }
        parameters = dict(output.parameters)
        if "shared_memory_region" not in parameters:
            if reply.is_binary(output.name):
                part = tensor_bytes.to_bytes(output.array, output.datatype)
                parameters["binary_data_size"] = len(part)
                binary_parts.append(part)
            else:
                entry["data"] = _json_data(output)
        if parameters:
            entry["parameters"] = parameters
        outputs.append(entry)
    text = dump(_head(response) | {"outputs": outputs})
    has_binary = any("binary_data_size" in entry.get("parameters", ()) for entry in outputs)
    return (b"".join([text, *binary_parts]), len(text)) if has_binary else (text, None)


def _head(response: InferResponse) -> dict[str, Any]:
    head: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        head["id"] = response.id
    if response.parameters:
        head["parameters"] = dict(response.parameters)
    return head


def _json_data(output: OutputTensor) -> Any:
    flat = output.array.reshape(-1)
    if output.datatype in _BINARY_ONLY:
        raise InvalidRequest(
            f"output {shown(output.name)} is {output.datatype}, which has no JSON form; "
            'ask for it with the parameter "binary_data": true'
        )
    if output.datatype is not DataType.BYTES:
        return flat
    try:
        return [item.decode() for item in flat.tolist()]
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"output {shown(output.name)} holds bytes that are not UTF-8 text, which have no JSON form; "
            'ask for it with the parameter "binary_data": true'
        ) from None


def _decode_output(raw: dict[str, Any]) -> RequestedOutput:
    name = _name(raw, "output")
    return RequestedOutput(name, json_parameters(raw, f"output {shown(name)}"))


def _decode_input(
    raw: dict[str, Any], binary: BinaryPart, read_region: ReadRegion | None, limits: CodecLimits
) -> InputTensor:
    name = _name(raw, "input")
    what = f"input {shown(name)}"
    datatype = _datatype(raw, what)
    shape = _shape(raw, what)
    check_shape(shape, what, limits)
    parameters = json_parameters(raw, what)
    region = shared_region(parameters, what)
    size = size_parameter(parameters, "binary_data_size", what)
    sources = {"data": raw.get("data"), "binary_data_size": size, "shared_memory_region": region}
    given = [key for key, value in sources.items() if value is not None]
    if len(given) != 1:
        raise InvalidRequest(f"{what}: expected one of {', '.join(sources)}; got {' and '.join(given) or 'none'}")
    if region is not None:
        array = tensor_bytes.to_array(read_shared(region, read_region, what), datatype, shape, what)
    elif size is not None:
        array = tensor_bytes.to_array(binary.take(size, what), datatype, shape, what)
    else:
        array = _decode_data(raw["data"], datatype, shape, what)
    return InputTensor(name, datatype, array)


def _decode_data(data: Any, datatype: DataType, shape: tuple[int, ...], what: str) -> Array:
    if datatype in _BINARY_ONLY:
        raise InvalidRequest(f"{what}: {datatype} has no JSON form; send it in the binary form (binary_data_size)")
    flat = nested.flat_elements(data, shape, what)
    try:
        return elements.to_array(flat, datatype).reshape(shape)
    except elements.WrongElement as error:
        where = f" at index {nested.index_of(error.index, shape)}" if shape else ""
        raise InvalidRequest(
            f"{what}: {datatype} takes {error.expected}, got {described(error.value)}{where}"
        ) from None


def _reply(request: InferRequest, header_length: int | None) -> JsonReply:
    by_name = {}
    for output in request.outputs:
        flag = flag_parameter(output.parameters, "binary_data", f"output {shown(output.name)}")
        if flag is not None:
            by_name[output.name] = flag
    return JsonReply(
        encoding="json" if header_length is None else "json+binary",
        binary=flag_parameter(request.parameters, "binary_data_output", "the request") or False,
        binary_by_name=by_name or None,
    )


def _list_of_objects(value: Any, key: str, most: int, *, required: bool) -> list[dict[str, Any]]:
    if value is None and not required:
        return []
    if type(value) is not list:
        raise InvalidRequest(
            f"{key} must be a list of objects, got {described(value) if value is not None else 'none'}"
        )
    if len(value) > most:
        raise TooLarge(f"{key} has {len(value)} entries; at most {most} are allowed")
    for index, item in enumerate(value):
        if type(item) is not dict:
            raise InvalidRequest(f"{key}[{index}] must be an object, got {described(item)}")
    return value


def _name(raw: dict[str, Any], kind: str) -> str:
    name = raw.get("name")
    if type(name) is not str or not name:
        raise InvalidRequest(f"an {kind} has no name; expected a text, got {described(name)}")
    return name


def _id(document: dict[str, Any]) -> str:
    value = document.get("id", "")
    if type(value) is not str:
        raise InvalidRequest(f"id must be a text, got {described(value)}")
    return value


def _datatype(raw: dict[str, Any], what: str) -> DataType:
    value = raw.get("datatype")
    if type(value) is not str:
        raise InvalidRequest(f"{what}: datatype must be a text such as FP32, got {described(value)}")
    try:
        return DataType.parse(value)
    except InvalidRequest as error:
        raise InvalidRequest(f"{what}: {error.message}") from None


def _shape(raw: dict[str, Any], what: str) -> tuple[int, ...]:
    value = raw.get("shape")
    if type(value) is not list:
        raise InvalidRequest(f"{what}: shape must be a list of whole numbers, got {described(value)}")
    for size in value:
        if type(size) is not int or size.bit_length() > _SIZE_BITS:
            raise InvalidRequest(f"{what}: shape must be a list of whole numbers, got one with {described(size)}")
    return tuple(value)
