"""docs/guides/protocols.md is true: its examples are read, and its tables are complete."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from google.protobuf import json_format

from rapide.proto import predict_pb2, services
from rapide.server.codecs import oip_json, tf_rest
from rapide.server.codecs.limits import DEFAULT_LIMITS
from rapide.server.codecs.oip_protobuf import CONTENTS_FIELD
from rapide.server.errors import InvalidRequest
from rapide.server.protocols.http_routes import PUBLIC_ROUTES
from rapide.server.protocols.status import TABLE
from rapide.server.signature import DataType

GUIDE = (Path(__file__).resolve().parents[3] / "docs/guides/protocols.md").read_text(encoding="utf-8")
GRPC_CODES = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.M | re.S)


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = GUIDE.split(f"\n{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", section, flags=re.M)
    assert lines, heading
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in lines[0].splitlines()[2:]]


CALLS = [
    (path, body)
    for block in blocks("sh")
    for path, body in re.findall(r"curl localhost:8000(\S+) -d '(.*?)'", block, flags=re.S)
]


@pytest.mark.parametrize(("path", "body"), CALLS, ids=[path for path, _ in CALLS])
def test_curl_examples_are_read(path: str, body: str) -> None:
    if path.endswith(":predict"):
        tf_rest.decode_request(body.encode())
    else:
        assert path.endswith("/infer")
        request, _ = oip_json.decode_request(body.encode(), None, "iris")
        assert request.inputs


def test_there_are_as_many_examples_as_curl_lines() -> None:
    assert len(CALLS) == GUIDE.count("curl localhost") >= 7


def test_the_grpcurl_example_is_a_request() -> None:
    (example,) = [block for block in blocks("sh") if block.startswith("grpcurl")]
    match = re.search(r"-d '(.*?)'.* localhost:8001 (\S+)\n", example, flags=re.S)
    assert match
    request = json_format.Parse(match[1], predict_pb2.PredictRequest())
    assert set(request.columns) == {"make", "year"}
    assert f"/{match[2]}" in {method.path for method in services.methods(services.PREDICT)}


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_are_python(code: str) -> None:
    ast.parse(code)


@pytest.mark.parametrize("text", blocks("json"))
def test_answers_are_json(text: str) -> None:
    json.loads(text)


def test_every_route_is_listed() -> None:
    listed = {(method, row[1].strip("`")) for row in rows("## Every route") for method in row[0].split(", ")}
    there = {(method, path) for path, methods in PUBLIC_ROUTES.by_path.items() for method in methods}
    assert listed == there


def test_every_method_is_listed() -> None:
    listed = {row[0].strip("`"): row[1].split() for row in rows("## Every method")}
    constants = (services.PREDICT, services.OPEN_INFERENCE, services.HEALTH)
    reflection = (services.REFLECTION_V1, services.REFLECTION_V1ALPHA)
    assert listed == {name: [m.name for m in services.methods(name)] for name in (*constants, *reflection)}


def test_the_error_table_is_the_doors() -> None:
    listed = {row[0].partition(":")[0]: (int(row[1]), row[2]) for row in rows("## Errors")}
    there = {kind.__name__: (status.http, GRPC_CODES[status.grpc]) for kind, status in TABLE.items()}
    for name, codes in listed.items():
        assert there[name] == codes, name
    # What an administrator's command may raise besides has no place among the answers to a call.
    assert there.keys() - listed.keys() == {"RapideError", "RepositoryError", "BrokenVersion", "SettingsError"}


def test_the_datatype_table_is_the_codecs() -> None:
    listed = {row[0]: row for row in rows("### Datatypes")}
    assert listed.keys() == set(DataType)
    for datatype in DataType:
        _, size, as_json, field, _ = listed[datatype]
        assert size == ("4 + length" if datatype.item_bytes is None else str(datatype.item_bytes))
        assert field.strip("`") == CONTENTS_FIELD.get(datatype, "–")
        assert (as_json == "–") is _has_no_json_form(datatype), datatype


def _has_no_json_form(datatype: DataType) -> bool:
    body = {"inputs": [{"name": "x", "datatype": datatype, "shape": [0], "data": []}]}
    try:
        oip_json.decode_request(json.dumps(body).encode(), None, "m")
    except InvalidRequest:
        return True
    return False


def test_bounds_are_the_limits() -> None:
    listed = [row[1] for row in rows("### Bounds")]
    assert listed[1:4] == [
        f"{DEFAULT_LIMITS.max_inputs} each",
        str(DEFAULT_LIMITS.max_rank),
        str(DEFAULT_LIMITS.max_elements),
    ]
