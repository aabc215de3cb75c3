"""What a server says of itself: health, metadata, configuration, statistics, the repository."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from rapide.proto import open_inference_pb2
from tests.conformance.target import Target

ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3, 4], "data": [0] * 12}]}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/linear/ready", 200),
        ("/v2/models/linear/versions/1/ready", 200),
    ],
)
def test_what_is_up_says_so_over_http(target: Target, path: str, status: int) -> None:
    assert target.get(path).status == status


@pytest.mark.parametrize("path", ["/v2/models/nothing/ready", "/v2/models/linear/versions/9/ready"])
def test_what_is_not_there_is_not_ready(target: Target, path: str) -> None:
    assert target.get(path).status >= 400


def test_what_is_up_says_so_over_grpc(target: Target) -> None:
    stub = target.stub
    assert stub.ServerLive(open_inference_pb2.ServerLiveRequest(), timeout=10).live
    assert stub.ServerReady(open_inference_pb2.ServerReadyRequest(), timeout=10).ready
    assert stub.ModelReady(open_inference_pb2.ModelReadyRequest(name="linear", version="1"), timeout=10).ready


@pytest.mark.parametrize("name", ["", "inference.GRPCInferenceService"])
def test_the_health_service_of_grpc(target: Target, name: str) -> None:
    target.need_grpc()
    stub = health_pb2_grpc.HealthStub(target.channel)
    request = health_pb2.HealthCheckRequest(service=name)
    assert stub.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
    watching = stub.Watch(request, timeout=10)
    assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
    watching.cancel()


def test_the_health_service_does_not_know_everything(target: Target) -> None:
    target.need_grpc()
    stub = health_pb2_grpc.HealthStub(target.channel)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Check(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=10)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_describes_the_service(target: Target) -> None:
    target.need_grpc()
    database = ProtoReflectionDescriptorDatabase(target.channel)
    try:
        names = database.get_services()
    except grpc.RpcError as error:
        if not target.ours and error.code() == grpc.StatusCode.UNIMPLEMENTED:
            pytest.skip("the server has no reflection")
        raise
    assert "inference.GRPCInferenceService" in names
    file = database.FindFileContainingSymbol("inference.GRPCInferenceService")
    methods = {method.name for service in file.service for method in service.method}
    assert {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"} <= methods


def test_server_metadata_is_the_same_through_both_doors(target: Target) -> None:
    over_http = target.get("/v2").json
    answer = target.stub.ServerMetadata(open_inference_pb2.ServerMetadataRequest(), timeout=10)
    assert over_http["name"] == answer.name
    assert over_http["version"] == answer.version
    assert set(over_http["extensions"]) == set(answer.extensions)
    assert over_http["name"]


LINEAR = {
    "name": "linear",
    "versions": ["1", "2"],
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
}


def test_model_metadata_over_http(target: Target) -> None:
    said = target.get("/v2/models/linear").json
    assert {name: said[name] for name in LINEAR} == LINEAR


def test_model_metadata_over_grpc(target: Target) -> None:
    said = target.stub.ModelMetadata(open_inference_pb2.ModelMetadataRequest(name="linear"), timeout=10)
    tensors: dict[str, list[dict[str, Any]]] = {
        side: [{"name": item.name, "datatype": item.datatype, "shape": list(item.shape)} for item in items]
        for side, items in (("inputs", said.inputs), ("outputs", said.outputs))
    }
    found = {"name": said.name, "versions": sorted(said.versions), "platform": said.platform, **tensors}
    assert found == LINEAR


@pytest.mark.parametrize("datatype", ["bool", "uint64", "int8", "fp16", "bf16", "fp64", "bytes"])
def test_metadata_names_every_datatype(target: Target, datatype: str) -> None:
    said = target.get(f"/v2/models/identity_{datatype}").json
    assert said["inputs"] == [{"name": "x", "datatype": datatype.upper(), "shape": [-1, -1]}]
    assert said["outputs"] == [{"name": "y", "datatype": datatype.upper(), "shape": [-1, -1]}]


@pytest.mark.extension("model_configuration")
def test_the_configuration_is_tritons(target: Target) -> None:
    over_http = target.get("/v2/models/linear/config").json
    over_grpc = target.stub.ModelConfig(open_inference_pb2.ModelConfigRequest(name="linear"), timeout=10).config
    assert over_http["name"] == over_grpc.name == "linear"
    assert over_http["max_batch_size"] == over_grpc.max_batch_size
    assert over_http["input"][0]["data_type"] == "TYPE_FP32"
    # The batch dimension is max_batch_size's business and left out of dims, where there is one.
    with_batch = [] if over_http["max_batch_size"] else [-1]
    assert [int(size) for size in over_http["input"][0]["dims"]] == [*with_batch, 4]
    assert list(over_grpc.input[0].dims) == [*with_batch, 4]


@pytest.mark.extension("statistics")
def test_statistics_count_requests_and_rows(target: Target) -> None:
    def counts() -> tuple[int, int]:
        stats = target.get("/v2/models/linear/versions/1/stats").json["model_stats"][0]
        assert (stats["name"], stats["version"]) == ("linear", "1")
        return int(stats["inference_stats"]["success"]["count"]), int(stats["inference_count"])

    requests, rows = counts()
    for _ in range(5):
        assert target.post("/v2/models/linear/versions/1/infer", ROW).status == 200
    assert counts() == (requests + 5, rows + 15)


@pytest.mark.extension("statistics")
def test_statistics_are_the_same_through_both_doors(target: Target) -> None:
    assert target.post("/v2/models/linear/versions/2/infer", ROW).status == 200
    over_http = target.get("/v2/models/linear/versions/2/stats").json["model_stats"][0]
    request = open_inference_pb2.ModelStatisticsRequest(name="linear", version="2")
    (over_grpc,) = target.stub.ModelStatistics(request, timeout=10).model_stats
    assert int(over_http["inference_count"]) == over_grpc.inference_count > 0
    assert int(over_http["execution_count"]) == over_grpc.execution_count > 0
    assert (
        int(over_http["inference_stats"]["compute_infer"]["ns"]) == over_grpc.inference_stats.compute_infer.ns > 0
    )


@pytest.mark.extension("model_repository")
def test_the_index_lists_models_versions_and_states(target: Target) -> None:
    over_http = {(item["name"], item.get("version", ""), item.get("state", "")) for item in _index(target)}
    assert {("linear", "1", "READY"), ("linear", "2", "READY"), ("scalar", "1", "READY")} <= over_http
    answer = target.stub.RepositoryIndex(open_inference_pb2.RepositoryIndexRequest(ready=True), timeout=10)
    over_grpc = {(item.name, item.version, item.state) for item in answer.models}
    assert over_grpc == {item for item in over_http if item[2] == "READY"}


@pytest.mark.extension("model_repository")
def test_a_model_is_unloaded_and_loaded(target: Target) -> None:
    answer = target.post("/v2/repository/models/two_inputs/unload")
    if answer.status != 200 and not target.ours:
        pytest.skip(f"the server does not load and unload on demand now: {answer.body.decode()[:200]}")
    assert answer.status == 200, answer.body
    try:
        assert target.get("/v2/models/two_inputs/ready").status >= 400
        states = {item.get("state") for item in _index(target) if item["name"] == "two_inputs"}
        assert "READY" not in states
    finally:
        answer = target.post("/v2/repository/models/two_inputs/load")
    assert answer.status == 200, answer.body
    assert target.get("/v2/models/two_inputs/ready").status == 200


def _index(target: Target) -> list[dict[str, Any]]:
    answer = target.post("/v2/repository/index")
    assert answer.status == 200, answer.body
    index: list[dict[str, Any]] = answer.json
    return index


@pytest.mark.extension("trace")
def test_trace_settings_are_shown(target: Target) -> None:
    settings = target.get("/v2/trace/setting").json
    assert {"trace_level", "trace_rate", "trace_count", "log_frequency"} <= settings.keys()


@pytest.mark.extension("logging")
def test_log_settings_are_shown_and_changed(target: Target) -> None:
    before = target.get("/v2/logging").json
    assert {"log_info", "log_warning", "log_error", "log_verbose_level", "log_format"} <= before.keys()
    try:
        changed = target.post("/v2/logging", {"log_verbose_level": 1})
        assert changed.status == 200, changed.body
        assert target.get("/v2/logging").json["log_verbose_level"] == 1
    finally:
        target.post("/v2/logging", {"log_verbose_level": before["log_verbose_level"]})
