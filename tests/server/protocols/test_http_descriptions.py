"""What the HTTP API says about the server and its models: for programs, for monitors, and for people."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from rapide import __version__
from rapide.server.protocols.http_routes import PUBLIC_ROUTES
from rapide.server.protocols.openapi import document
from rapide.server.protocols.openapi_schemas import SCHEMAS
from tests.doors import Doors, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = {"model": "two", "version": "1", "label": "canary", "region": "none"}


async def test_the_server(http: httpx.AsyncClient) -> None:
    described = (await http.get("/v2")).json()

    assert described["name"] == "rapide"
    assert described["version"] == __version__
    assert {"binary_tensor_data", "classification", "system_shared_memory"} <= set(described["extensions"])
    assert "cuda_shared_memory" not in described["extensions"]
    assert "sequence" not in described["extensions"]


async def test_health(http: httpx.AsyncClient) -> None:
    for path, answer in (("live", {"live": True}), ("ready", {"ready": True})):
        found = await http.get(f"/v2/health/{path}")
        assert (found.status_code, found.json()) == (200, answer)


async def test_unready_before_the_first_state_and_while_leaving(repository: Path, tmp_path: Path) -> None:
    async with opened(repository, tmp_path / "state", load=False) as doors, httpx.AsyncClient() as http:
        for port in (doors.http, doors.metrics):
            before = await http.get(f"{port}/v2/health/ready")
            assert (before.status_code, before.json()) == (503, {"ready": False})
        assert (await http.get(f"{doors.http}/v2/health/live")).status_code == 200

        await doors.admin.load_all()
        assert (await http.get(f"{doors.http}/v2/health/ready")).status_code == 200

        doors.app.unready()
        assert (await http.get(f"{doors.http}/v2/health/ready")).status_code == 503
        assert (await http.get(f"{doors.http}/v2/models/two/ready")).status_code == 503
        assert (await http.get(f"{doors.http}/v2/models/two")).status_code == 200


@pytest.mark.parametrize("path", ["/v2/models/two", "/v2/models/two/versions/2"])
async def test_a_model(http: httpx.AsyncClient, path: str) -> None:
    tensor = {"datatype": "INT32", "shape": [-1, 2]}

    assert (await http.get(path)).json() == {
        "name": "two",
        "versions": ["1", "2"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "a", **tensor}, {"name": "b", **tensor}],
        "outputs": [{"name": "sum", **tensor}, {"name": "difference", **tensor}],
    }


async def test_a_model_with_a_manifest_names_what_predict_takes_and_gives(http: httpx.AsyncClient) -> None:
    described = (await http.get("/v2/models/price")).json()

    assert described["description"] == "What a used car is worth"
    assert described["features"] == [
        {"name": "fuel", "kind": "text", "required": True},
        {"name": "mileage", "kind": "number", "required": True},
    ]
    assert described["predictions"] == [{"name": "price", "kind": "number"}]


async def test_a_configuration(http: httpx.AsyncClient) -> None:
    config = (await http.get("/v2/models/two/config")).json()

    assert config["max_batch_size"] == 64
    assert config["input"][0] == {"name": "a", "data_type": "TYPE_INT32", "dims": [2]}
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 0
    assert (await http.get("/v2/models/failing/config")).json()["max_batch_size"] == 0


async def test_statistics(http: httpx.AsyncClient) -> None:
    request = {"inputs": [{"name": name, "datatype": "INT32", "shape": [3, 2], "data": [1] * 6} for name in "ab"]}

    async def stats(path: str) -> dict[str, Any]:
        found = (await http.get(path)).json()["model_stats"]
        return next(entry for entry in found if (entry["name"], entry["version"]) == ("two", "2"))

    before = await stats("/v2/models/stats")
    assert (await http.post("/v2/models/two/versions/2/infer", json=request)).status_code == 200
    assert (await http.post("/v2/models/two/versions/2/infer", json={"inputs": []})).status_code == 400
    after = await stats("/v2/models/two/versions/2/stats")

    assert after["inference_count"] == before["inference_count"] + 3
    assert after["execution_count"] == before["execution_count"] + 1
    for outcome in ("success", "fail"):
        counts = [found["inference_stats"][outcome]["count"] for found in (before, after)]
        assert counts[1] == counts[0] + 1
    assert (await http.get("/v2/models/none/stats")).status_code == 404


@pytest.mark.parametrize(
    ("path", "versions"),
    [("", ["1", "2"]), ("/versions/2", ["2"]), ("/labels/canary", ["2"]), ("/labels/stable", ["1"])],
)
async def test_the_status_that_tensorflow_serving_gives(
    http: httpx.AsyncClient, path: str, versions: list[str]
) -> None:
    found = (await http.get(f"/v1/models/two{path}")).json()

    assert (found["name"], found["ready"]) == ("two", True)
    assert found["model_version_status"] == [
        {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        for version in versions
    ]


@pytest.mark.parametrize(
    "path", ["/v1/models/none", "/v2/models/none", "/v2/models/none/ready", "/v2/models/two/versions/9"]
)
async def test_what_is_not_there(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)

    assert answer.status_code == 404
    assert re.match(
        r"(there is no model 'none' here\. Models here|model 'two' has no version '9')", answer.json()["error"]
    )


async def test_metrics_in_both_text_formats(http: httpx.AsyncClient, doors: Doors) -> None:
    plain = await http.get(f"{doors.metrics}/metrics")
    open_metrics = await http.get("/metrics", headers={"accept": "application/openmetrics-text"})

    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "nv_inference_request_success" in plain.text
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


async def test_the_usage_profile(http: httpx.AsyncClient, doors: Doors) -> None:
    for port in (doors.http, doors.metrics):
        found = (await http.get(f"{port}/profile")).json()
        assert {entry["model"] for entry in found["models"]} >= {"two", "price"}


async def test_what_the_status_page_shows(http: httpx.AsyncClient) -> None:
    found = (await http.get("/status.json")).json()

    assert found["server"] == {"name": "rapide", "version": __version__, "ready": True}
    two = next(model for model in found["models"] if model["name"] == "two")
    assert [(v["version"], v["state"], v["labels"], v["share_percent"]) for v in two["versions"]] == [
        ("1", "READY", ["stable"], 100.0),
        ("2", "READY", ["canary"], 0.0),
    ]
    assert two["versions"][0]["digest"].startswith("sha256:")
    assert two["versions"][1]["answered"] >= 1
    price = next(model for model in found["models"] if model["name"] == "price")
    assert price["description"] == "What a used car is worth"


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_are_whole_in_themselves(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", answer.text), "loads something from elsewhere"
    assert not re.search(r"\beval\(|innerHTML", answer.text), "could run what a model's name says"
    for linked in re.findall(r'(?:href|fetch\()="?(/[\w./]*)"', answer.text):
        assert (await http.get(linked)).status_code == 200, linked


# The description for machines is true.


async def test_the_description_has_every_route_and_no_other(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json")).json()

    assert described == json.loads(json.dumps(document(PUBLIC_ROUTES, __version__)))
    methods = {(path, method.upper()) for path, methods in described["paths"].items() for method in methods}
    assert methods == {(route.path, route.method) for route in PUBLIC_ROUTES.routes}


@pytest.mark.parametrize(
    "route", [route for route in PUBLIC_ROUTES.routes if route.method == "GET"], ids=lambda route: route.path
)
async def test_every_get_answers_as_it_is_described(http: httpx.AsyncClient, route: Any) -> None:
    answer = await http.get(route.path.format(**PATHS))

    if "cuda" in route.path:
        assert answer.status_code == 501
    elif "region/" in route.path:
        assert answer.status_code == 404
    else:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(route.media_type)
        if route.gives:
            assert_fits(answer.json(), SCHEMAS[route.gives])


def assert_fits(value: Any, schema: dict[str, Any]) -> None:
    """As much of JSON Schema as the descriptions use."""
    if "$ref" in schema:
        assert_fits(value, SCHEMAS[schema["$ref"].rpartition("/")[2]])
        return
    kinds = schema.get("type", [])
    types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "number": float}
    if kinds:
        allowed = [types[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
        assert isinstance(value, tuple(allowed)), f"{value!r} is no {kinds}"
    for name in schema.get("required", ()):
        assert name in value, f"{name} is missing in {value!r}"
    if isinstance(value, dict):
        for name, part in schema.get("properties", {}).items():
            if name in value:
                assert_fits(value[name], part)
    if isinstance(value, list):
        for item in value:
            assert_fits(item, schema.get("items", {}))
    if "enum" in schema:
        assert value in schema["enum"]
