"""The table of bad input: each row is asked over both wires by ``test_bad_input.py``, in a repository of its own.

A row names what is wrong, the domain error, the whole text of the answer, and the request on each wire.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rapide.proto import open_inference_pb2 as pb
from rapide.server.errors import InvalidRequest, NotFound, TooLarge, UnsupportedMedia
from rapide.server.repository.manifest import Feature, Prediction
from rapide.server.signature import DataType, Signature, TensorSpec
from tests import models
from tests.versions import publish_version, set_labels
from tests.wires import (
    SERVICE,
    Case,
    Grpc,
    Http,
    Tensor,
    binary,
    binary_input,
    infer,
    post,
    predict,
    tensor_message,
    typed,
)

A = Tensor("a", [1, 2], [1, 2])
B = Tensor("b", [3, 4], [1, 2])
X = Tensor("x", [1.0, 2.0], [1, 2], "FP32")
GARBAGE = b"\xff\xfe\xfd neither JSON nor protobuf"


def invalid(name: str, text: str, *inputs: Tensor, **more: object) -> Case:
    return infer(name, InvalidRequest, text, *inputs, **more)  # type: ignore[arg-type]


NAMES = [
    invalid(
        "unknown input",
        "missing input 'b'; unknown input 'c'; the model expects 'a', 'b'",
        A,
        Tensor("c", [1, 2], [1, 2]),
    ),
    invalid("missing input", "missing input 'b'; the model expects 'a', 'b'", A),
    invalid("surplus input", "unknown input 'c'; the model expects 'a', 'b'", A, B, Tensor("c", [1, 2], [1, 2])),
    invalid("repeated input", "input given more than once: 'a'; the model expects 'a', 'b'", A, B, A),
    invalid("no inputs", "missing inputs 'a', 'b'; the model expects 'a', 'b'"),
    invalid(
        "nameless input",
        "an input has no name; expected a text, got the text ''",
        A,
        Tensor("", [1, 2], [1, 2]),
        grpc_text="missing input 'b'; unknown input ''; the model expects 'a', 'b'",
    ),
    invalid(
        "unknown output",
        "unknown output 'summ'; did you mean 'sum'?; the model has 'sum', 'difference'",
        A,
        B,
        outputs=[("summ", {})],
    ),
    invalid(
        "repeated output", "output 'sum' is asked for more than once", A, B, outputs=[("sum", {}), ("sum", {})]
    ),
    infer(
        "ten thousand inputs",
        TooLarge,
        "inputs has 10000 entries; at most 4096 are allowed",
        *[Tensor(f"i{number}", [], [0]) for number in range(10_000)],
        grpc_text="the request has 10000 inputs; at most 4096 are allowed",
    ),
    infer(
        "ten thousand outputs",
        TooLarge,
        "outputs has 10000 entries; at most 4096 are allowed",
        A,
        B,
        outputs=[(f"o{number}", {}) for number in range(10_000)],
        grpc_text="the request asks for 10000 outputs; at most 4096 are allowed",
    ),
]

DATATYPES = [
    invalid(
        "wrong datatype",
        "input 'a' has datatype FP32; the model expects INT32",
        Tensor("a", [1.0, 2.0], [1, 2], "FP32"),
        B,
    ),
    invalid(
        "unknown datatype",
        "input 'a': datatype 'FP8' is unknown; expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, "
        "INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES",
        Tensor("a", [1, 2], [1, 2], "FP8"),
        B,
    ),
    invalid(
        "lower-case datatype",
        "input 'a': datatype 'int32' is unknown; expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, "
        "INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES",
        Tensor("a", [1, 2], [1, 2], "int32"),
        B,
    ),
    Case(
        "element of another kind",
        InvalidRequest,
        "input 'a': INT32 takes a whole number, got the text 'one' at index [0, 0]",
        post({"inputs": [{"name": "a", "datatype": "INT32", "shape": [1, 2], "data": ["one", 2]}, B.json()]}),
        typed(tensor_message("a", fp32_contents=[1.0, 2.0]), tensor_message("b", int_contents=[3, 4])),
        grpc_texts=("input 'a': INT32 elements belong in int_contents, got fp32_contents",),
    ),
    Case(
        "element beyond its datatype",
        InvalidRequest,
        "input 'x': UINT8 takes a whole number from 0 to 255, got 256 at index [1]",
        post({"inputs": [{"name": "x", "datatype": "UINT8", "shape": [2], "data": [1, 256]}]}, "bytes"),
        typed(tensor_message("x", "UINT8", [2], uint_contents=[1, 256]), model="bytes"),
        grpc_texts=("input 'x': element 1 is 256; UINT8 takes whole numbers from 0 to 255",),
    ),
    Case(
        "FP16 in a form that has none",
        InvalidRequest,
        "input 'x': FP16 has no JSON form; send it in the binary form (binary_data_size)",
        post({"inputs": [{"name": "x", "datatype": "FP16", "shape": [1, 2], "data": [1, 2]}]}, "half"),
        typed(tensor_message("x", "FP16", fp32_contents=[1, 2]), model="half"),
        grpc_texts=("input 'x': FP16 has no typed form; send it in raw_input_contents",),
    ),
    Case(
        "text that is not UTF-8",
        InvalidRequest,
        "input 'x' must be UTF-8 text: element [0, 0] is not, at byte 0",
        binary("text", {"inputs": [binary_input("x", "BYTES", [1, 1], 6)]}, b"\x02\x00\x00\x00\xff\xfe"),
        typed(tensor_message("x", "BYTES", [1, 1], bytes_contents=[b"\xff\xfe"]), model="text"),
    ),
]

SHAPES = [
    invalid(
        "wrong rank",
        "input 'a' has shape [2]; the model expects [-1, 2] (−1 is any size)",
        Tensor("a", [1, 2], [2]),
        B,
    ),
    invalid(
        "wrong size",
        "input 'a' has shape [1, 3]; the model expects [-1, 2] (−1 is any size)",
        Tensor("a", [1, 2, 3], [1, 3]),
        B,
    ),
    invalid(
        "negative size",
        "input 'a' has shape [-1, 2]; every size must be 0 or more",
        Tensor("a", [1, 2], [-1, 2]),
        B,
    ),
    invalid(
        "too few elements",
        "input 'a' has 1 elements; its shape [1, 2] needs 2",
        Tensor("a", [1], [1, 2]),
        B,
        grpc_text="input 'a' has 4 bytes; shape [1, 2] of INT32 needs 8",
    ),
    invalid(
        "too many elements",
        "input 'a' has 3 elements; its shape [1, 2] needs 2",
        Tensor("a", [1, 2, 3], [1, 2]),
        B,
        grpc_text="input 'a' has 12 bytes; shape [1, 2] of INT32 needs 8",
    ),
    invalid(
        "numbers of rows differ",
        "input 'b' has 1 rows but input 'a' has 2; all inputs must have the same number of rows",
        Tensor("a", [1, 2, 3, 4], [2, 2]),
        B,
    ),
    infer(
        "a shape whose product overflows",
        TooLarge,
        "input 'a' has shape [1099511627776, 1099511627776]; at most 268435456 elements are allowed",
        Tensor("a", [], [2**40, 2**40]),
        B,
    ),
    infer(
        "a size that overflows beside a zero",
        TooLarge,
        "input 'a' has shape [0, 4611686018427387904]; at most 268435456 elements are allowed",
        Tensor("a", [], [0, 2**62]),
        B,
    ),
    infer(
        "too many dimensions",
        TooLarge,
        "input 'a' has 64 dimensions; at most 32 are allowed",
        Tensor("a", [1], [1] * 64),
        B,
    ),
]

FORMS = [
    Case(
        "two forms mixed",
        InvalidRequest,
        "input 'a': expected one of data, binary_data_size, shared_memory_region; got data and binary_data_size",
        binary(
            "two",
            {"inputs": [{**binary_input("a", "INT32", [1, 2], 8), "data": [1, 2]}, B.json()]},
            A.raw(),
        ),
        typed(tensor_message("a"), tensor_message("b", int_contents=[3, 4]), raw=[A.raw(), B.raw()]),
        grpc_texts=(
            "input 'b' belongs in raw_input_contents, as other inputs are; it must not have typed contents too",
        ),
    ),
    Case(
        "one input without elements",
        InvalidRequest,
        "input 'b': expected one of data, binary_data_size, shared_memory_region; got none",
        post({"inputs": [A.json(), {"name": "b", "datatype": "INT32", "shape": [1, 2]}]}),
        typed(tensor_message("a"), tensor_message("b"), raw=[A.raw()]),
        grpc_texts=("input 'b' has no entry in raw_input_contents; either all inputs are raw or none is",),
    ),
    Case(
        "surplus binary parts",
        InvalidRequest,
        "4 bytes are left over after the JSON part and all binary inputs; check "
        "Inference-Header-Content-Length and each binary_data_size",
        binary("two", {"inputs": [A.json(), B.json()]}, b"more"),
        typed(tensor_message("a"), tensor_message("b"), raw=[A.raw(), B.raw(), b"more"]),
        grpc_texts=(
            "raw_input_contents has 3 entries; expected one for each of the 2 inputs that is not in shared memory",
        ),
    ),
    Case(
        "a binary part of another length",
        InvalidRequest,
        "input 'a' has 7 bytes; shape [1, 2] of INT32 needs 8",
        binary("two", {"inputs": [binary_input("a", "INT32", [1, 2], 7), B.json()]}, A.raw()[:7]),
        typed(tensor_message("a"), tensor_message("b"), raw=[A.raw()[:7], B.raw()]),
    ),
    Case(
        "bytes whose lengths lie beyond the end",
        InvalidRequest,
        "input 'x': element 0 claims 4294967295 bytes, but only 2 are left",
        binary("text", {"inputs": [binary_input("x", "BYTES", [1, 1], 6)]}, b"\xff\xff\xff\xffab"),
        typed(tensor_message("x", "BYTES", [1, 1]), model="text", raw=[b"\xff\xff\xff\xffab"]),
    ),
    Case(
        "bytes whose lengths leave a rest",
        InvalidRequest,
        "input 'x' has 3 bytes left over after its 1 BYTES elements",
        binary("text", {"inputs": [binary_input("x", "BYTES", [1, 1], 8)]}, b"\x01\x00\x00\x00abcd"),
        typed(tensor_message("x", "BYTES", [1, 1]), model="text", raw=[b"\x01\x00\x00\x00abcd"]),
    ),
    Case(
        "truth values other than 0 and 1",
        InvalidRequest,
        "input 'x': BOOL element 1 is the byte 2; expected 0 or 1",
        binary("truth", {"inputs": [binary_input("x", "BOOL", [2], 2)]}, b"\x01\x02"),
        typed(tensor_message("x", "BOOL", [2]), model="truth", raw=[b"\x01\x02"]),
    ),
]

GARBLED = [
    Case(
        "garbage",
        InvalidRequest,
        "the request body is not valid JSON: str is not valid UTF-8: surrogates not allowed: line 1 column 1 "
        "(char 0)",
        post(GARBAGE),
        Grpc(f"{SERVICE}/ModelInfer", GARBAGE),
        grpc_texts=(
            "the 29 bytes received are no valid ModelInferRequest message (truncated, or of another type)",
        ),
    ),
    Case(
        "truncated",
        InvalidRequest,
        "the request body is not valid JSON: unexpected end of data: line 1 column 52 (char 51)",
        post('{"inputs": [{"name": "a", "datatype": "INT32", "sha'),
        Grpc(f"{SERVICE}/ModelInfer", typed(tensor_message("a"), raw=[A.raw()]).message[:-3]),
        grpc_texts=(
            "the 30 bytes received are no valid ModelInferRequest message (truncated, or of another type)",
        ),
    ),
    Case(
        "empty",
        InvalidRequest,
        "the request body is not valid JSON: Input is a zero-length, empty document: line 1 column 1 (char 0)",
        post(b""),
        None,
    ),
    Case(
        "empty message",
        NotFound,
        "there is no model '' here. Models here: bytes, classes, finite, half, price, text, truth, two.",
        None,
        Grpc(f"{SERVICE}/ModelInfer", b""),
    ),
    Case(
        "nested without end",
        InvalidRequest,
        "the request body is nested too deeply: JSON of at most 1024 levels is read",
        post("[" * 100_000),
        Grpc(f"{SERVICE}/ModelInfer", b"\x43" * 100_000),  # groups within groups
        grpc_texts=(
            "the 100000 bytes received are no valid ModelInferRequest message (truncated, or of another type)",
        ),
    ),
    Case(
        "data nested deeply",
        InvalidRequest,
        "input 'a': expected a list of 2 at index [0], got one of 1 (the shape is [1, 2])",
        post(
            '{"inputs": [{"name": "a", "datatype": "INT32", "shape": [1, 2], "data": '
            + "[" * 500
            + "]" * 500
            + "}]}"
        ),
        None,
    ),
    Case(
        "a list instead of an object", InvalidRequest, "the request body must be a JSON object", post([1, 2]), None
    ),
    Case(
        "inputs that are no list",
        InvalidRequest,
        "inputs must be a list of objects, got an object",
        post({"inputs": {"a": 1}}),
        None,
    ),
    Case(
        "an input that is no object",
        InvalidRequest,
        "inputs[0] must be an object, got 1",
        post({"inputs": [1]}),
        None,
    ),
    Case(
        "an id that is no text",
        InvalidRequest,
        "id must be a text, got 7",
        post({"id": 7, "inputs": [A.json(), B.json()]}),
        None,
    ),
    Case(
        "a shape that is no list",
        InvalidRequest,
        "input 'a': shape must be a list of whole numbers, got 2",
        post({"inputs": [{**A.json(), "shape": 2}, B.json()]}),
        None,
    ),
    Case(
        "a header length beyond the body",
        InvalidRequest,
        "Inference-Header-Content-Length is 999, but the body has 14 bytes; it must be the length of the "
        "JSON part",
        binary("two", {"inputs": []}, b"", 999),
        None,
    ),
    Case(
        "a header length of zero",
        InvalidRequest,
        "Inference-Header-Content-Length is 0, but the body has 14 bytes; it must be the length of the JSON part",
        binary("two", {"inputs": []}, b"", 0),
        None,
    ),
    Case(
        "a header length that cuts the JSON",
        InvalidRequest,
        "the request body is not valid JSON: unexpected end of data: line 1 column 6 (char 5)",
        binary("two", {"inputs": []}, b"", 5),
        None,
    ),
    Case(
        "a negative header length",
        InvalidRequest,
        "Inference-Header-Content-Length must be a number of bytes, got '-1'",
        binary("two", {"inputs": []}, b"", -1),
        None,
    ),
    Case(
        "a header length in words",
        InvalidRequest,
        "Inference-Header-Content-Length must be a number of bytes, got 'many'",
        binary("two", {"inputs": []}, b"", "many"),
        None,
    ),
    Case(
        "more binary data announced than sent",
        InvalidRequest,
        "input 'a' has binary_data_size 8, but 4 bytes are left after the JSON part and the inputs before "
        "it; check Inference-Header-Content-Length",
        binary("two", {"inputs": [binary_input("a", "INT32", [1, 2], 8), B.json()]}, b"1234"),
        None,
    ),
    Case(
        "an unknown content encoding",
        UnsupportedMedia,
        "content-encoding 'br' is not read here; use gzip, deflate or none",
        post(b"x", content_encoding="br"),
        None,
    ),
    Case(
        "a damaged gzip body",
        InvalidRequest,
        "the body is not valid gzip data, although content-encoding says so",
        post(b"x", content_encoding="gzip"),
        None,
    ),
]

VALUES = [
    Case(
        "NaN where it is forbidden",
        InvalidRequest,
        "input 'x' is NaN at index [0, 2]; the model was trained without missing values there",
        binary(
            "finite",
            {"inputs": [binary_input("x", "FP32", [1, 4], 16)]},
            np.array([1, 2, np.nan, 4], np.float32).tobytes(),
        ),
        typed(tensor_message("x", "FP32", [1, 4], fp32_contents=[1, 2, np.nan, 4]), model="finite"),
    ),
]

PARAMETERS = [
    Case(
        "a parameter of an unknown type",
        InvalidRequest,
        "the request: parameter 'odd' must be a text, a number of 64 bits, true or false, got a list",
        post({"inputs": [A.json(), B.json()], "parameters": {"odd": [1]}}),
        Grpc(
            f"{SERVICE}/ModelInfer",
            pb.ModelInferRequest(model_name="two", parameters={"odd": pb.InferParameter()}).SerializeToString(),
        ),
        grpc_texts=(
            "the request: parameter 'odd' has no value of a known type; expected bool, int64, string, double "
            "or uint64",
        ),
    ),
    Case(
        "an input's parameter of an unknown type",
        InvalidRequest,
        "input 'a': parameter 'odd' must be a text, a number of 64 bits, true or false, got an object",
        post({"inputs": [{**A.json(), "parameters": {"odd": {"a": 1}}}, B.json()]}),
        None,
    ),
    invalid(
        "a timeout that is no number",
        "the request: timeout must be a whole number of at least 0, got the text 'soon'",
        A,
        B,
        parameters={"timeout": "soon"},
    ),
    invalid(
        "a negative timeout",
        "the request: timeout must be a whole number of at least 0, got -5",
        A,
        B,
        parameters={"timeout": -5},
    ),
    invalid(
        "no classes",
        "output 'probabilities': classification must be a whole number of at least 1, got 0",
        X,
        model="classes",
        outputs=[("probabilities", {"classification": 0})],
    ),
    invalid(
        "classes in words",
        "output 'probabilities': classification must be a whole number of at least 1, got the text 'two'",
        X,
        model="classes",
        outputs=[("probabilities", {"classification": "two"})],
    ),
    invalid(
        "classes of text",
        "output 'y' is BYTES; classification needs numbers",
        Tensor("x", ["a"], [1, 1], "BYTES"),
        model="text",
        outputs=[("y", {"classification": 1})],
    ),
    Case(
        "binary_data that is no truth",
        InvalidRequest,
        "output 'sum': binary_data must be true or false, got the text 'yes'",
        post({"inputs": [A.json(), B.json()], "outputs": [{"name": "sum", "parameters": {"binary_data": "yes"}}]}),
        None,
    ),
    Case(
        "a timeout header that is no number",
        InvalidRequest,
        "header rapide-timeout-ms is 'soon'; expected milliseconds above 0, at most 86400000",
        post({"inputs": [A.json(), B.json()]}, rapide_timeout_ms="soon"),
        None,
    ),
]

SHARED_MEMORY = [
    infer(
        "an input in an unknown region",
        NotFound,
        "shared-memory region 'nowhere' is not registered; registered are: none",
        Tensor("a", [], [1, 2], parameters={"shared_memory_region": "nowhere", "shared_memory_byte_size": 8}),
        B,
    ),
    invalid(
        "a region without a size",
        "input 'a': shared_memory_region needs shared_memory_byte_size beside it",
        Tensor("a", [], [1, 2], parameters={"shared_memory_region": "nowhere"}),
        B,
    ),
    infer(
        "an output in an unknown region",
        NotFound,
        "shared-memory region 'nowhere' is not registered; registered are: none",
        A,
        B,
        outputs=[("sum", {"shared_memory_region": "nowhere", "shared_memory_byte_size": 8})],
    ),
    Case(
        "registering what is no shared memory",
        InvalidRequest,
        "shared-memory key '../etc/passwd' is not a POSIX name: one leading slash at most, and no other",
        Http("/v2/systemsharedmemory/region/r/register", '{"key": "../etc/passwd", "byte_size": 8}'),
        Grpc(
            f"{SERVICE}/SystemSharedMemoryRegister",
            pb.SystemSharedMemoryRegisterRequest(name="r", key="../etc/passwd", byte_size=8).SerializeToString(),
        ),
    ),
    Case(
        "registering what does not exist",
        NotFound,
        "there is no shared-memory object 'rapide-is-not-here'. Create it before registering it.",
        Http("/v2/systemsharedmemory/region/r/register", '{"key": "rapide-is-not-here", "byte_size": 8}'),
        Grpc(
            f"{SERVICE}/SystemSharedMemoryRegister",
            pb.SystemSharedMemoryRegisterRequest(
                name="r", key="rapide-is-not-here", byte_size=8
            ).SerializeToString(),
        ),
    ),
    Case(
        "registering without a key",
        InvalidRequest,
        "'key' must be a text",
        Http("/v2/systemsharedmemory/region/r/register", "{}"),
        Grpc(
            f"{SERVICE}/SystemSharedMemoryRegister",
            pb.SystemSharedMemoryRegisterRequest(name="r", byte_size=8).SerializeToString(),
        ),
        grpc_texts=("shared-memory key '' is not a POSIX name: one leading slash at most, and no other",),
    ),
    Case(
        "unregistering what is not registered",
        NotFound,
        "shared-memory region 'nowhere' is not registered.",
        Http("/v2/systemsharedmemory/region/nowhere/unregister"),
        Grpc(
            f"{SERVICE}/SystemSharedMemoryUnregister",
            pb.SystemSharedMemoryUnregisterRequest(name="nowhere").SerializeToString(),
        ),
    ),
]

WHO = [
    infer(
        "unknown model",
        NotFound,
        "there is no model 'tow' here. Models here: bytes, classes, finite, half, price, text, truth, two.",
        A,
        B,
        model="tow",
    ),
    infer(
        "a model's name like a path",
        NotFound,
        "there is nothing at '/v2/models/../../etc/infer'. GET /docs and /openapi.json list what there is; "
        "inference is POST /v2/models/{model}/infer.",
        A,
        B,
        model="..%2f..%2fetc",
        grpc_text=(
            "there is no model '..%2f..%2fetc' here. Models here: bytes, classes, finite, half, price, "
            "text, truth, two."
        ),
    ),
    infer(
        "unknown version", NotFound, "model 'two' has no version '9' here. Versions here: 2, 1.", A, B, version="9"
    ),
    infer(
        "a version in words",
        NotFound,
        "model 'two' has no version 'latest' here. Versions here: 2, 1.",
        A,
        B,
        version="latest",
    ),
    infer(
        "unknown label",
        NotFound,
        "model 'two' has no label 'canry'. Labels here: next, stable.",
        A,
        B,
        headers={"rapide-label": "canry"},
    ),
    infer(
        "a label that means another version",
        InvalidRequest,
        "label 'next' of model 'two' does not mean version 1 at present",
        A,
        B,
        version="1",
        headers={"rapide-label": "next"},
    ),
    infer(
        "an unknown pinned version",
        NotFound,
        "model 'two' has no version '9' here. Versions here: 2, 1.",
        A,
        B,
        headers={"rapide-version": "9"},
    ),
    Case(
        "loading what is not there",
        NotFound,
        "there is no model 'tow' in the repository",
        Http("/v2/repository/models/tow/load"),
        Grpc(
            f"{SERVICE}/RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="tow").SerializeToString()
        ),
    ),
    Case(
        "loading what cannot be a model",
        InvalidRequest,
        "'..\\\\' cannot name a model. Use 1 to 128 letters, digits, '.', '_' and '-', starting with a letter "
        "or digit.",
        Http("/v2/repository/models/..%5C/load"),
        Grpc(
            f"{SERVICE}/RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="..\\").SerializeToString()
        ),
    ),
]

NAMED = [
    predict(
        "an unknown feature",
        InvalidRequest,
        "there is no feature 'fuell'; did you mean 'fuel'?",
        {"fuell": ["petrol"], "mileage": [1.0]},
    ),
    predict("a missing feature", InvalidRequest, "missing the required feature 'mileage'", {"fuel": ["petrol"]}),
    predict(
        "a feature of another kind",
        InvalidRequest,
        "mileage: expected a number, got the text 'far' in row 0",
        {"fuel": ["petrol"], "mileage": ["far"]},
    ),
    predict(
        "a required value left out",
        InvalidRequest,
        "fuel is required; row 1 has none",
        {"fuel": ["petrol", None], "mileage": [1.0, 2.0]},
    ),
    predict(
        "columns of different lengths",
        InvalidRequest,
        "mileage has 1 rows but fuel has 2; all features must have the same number",
        {"fuel": ["petrol", "diesel"], "mileage": [1.0]},
        grpc_texts=(
            "fuel has 2 rows but mileage has 1; all features must have the same number",
            "mileage has 1 rows but fuel has 2; all features must have the same number",
        ),
    ),
    predict(
        "an unknown model, by features",
        NotFound,
        "there is no model 'prize' here. Models here: bytes, classes, finite, half, price, text, truth, two.",
        {"fuel": ["petrol"]},
        model="prize",
    ),
    predict(
        "an unknown version, by features",
        NotFound,
        "model 'price' has no version '9' here. Versions here: 1.",
        {"fuel": ["petrol"]},
        version="9",
    ),
    predict(
        "an unknown label, by features",
        NotFound,
        "model 'price' has no label 'canry'. Labels here: none.",
        {"fuel": ["petrol"]},
        label="canry",
    ),
    Case(
        "rows and columns at once",
        InvalidRequest,
        "expected one of instances (rows) and inputs (columns), got instances and inputs",
        Http("/v1/models/price:predict", '{"instances": [], "inputs": {}}'),
        None,
    ),
    Case(
        "neither rows nor columns",
        InvalidRequest,
        "expected one of instances (rows) and inputs (columns), got neither",
        Http("/v1/models/price:predict", "{}"),
        None,
    ),
    Case(
        "a row that is no object",
        InvalidRequest,
        "row 1 must be an object of named features, got 7",
        Http("/v1/models/price:predict", '{"instances": [{"fuel": "petrol", "mileage": 1}, 7]}'),
        None,
    ),
]

CASES = [
    *NAMES, *DATATYPES, *SHAPES, *FORMS, *GARBLED, *VALUES, *PARAMETERS, *SHARED_MEMORY, *WHO, *NAMED,
]  # fmt: skip


def repository(root: Path) -> Path:
    """The models that the rows speak of. Returns ``root``."""
    models.repository(
        root,
        {
            "two": {1: models.two_inputs(), 2: models.two_inputs()},
            "bytes": {1: models.identity(DataType.UINT8, ("N",))},
            "half": {1: models.identity(DataType.FP16, ("N", 2))},
            "text": {1: models.identity(DataType.BYTES, ("N", 1))},
            "truth": {1: models.identity(DataType.BOOL, ("N",))},
            "classes": {1: models.classifier()},
        },
    )
    set_labels(root, "two", "stable=1", "next=2")
    publish_version(
        root,
        "finite",
        models.linear(),
        signature=Signature(
            (TensorSpec("x", DataType.FP32, (-1, 4), finite=True),),
            (TensorSpec("y", DataType.FP32, (-1, 3)),),
            True,
        ),
    )
    publish_version(
        root,
        "price",
        models.mixed_columns(),
        features=[
            Feature("fuel", "fuel", None, "text", required=True),
            Feature("mileage", "mileage", None, "number", required=True),
        ],
        predictions=[Prediction("price", "price", None, "number")],
    )
    return root
