"""Calls that change something for everybody: repository, shared memory, settings; over HTTP and over gRPC."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio

from rapide.proto import open_inference_pb2 as pb
from rapide.proto import services
from rapide.server.shared_memory import SHARED_MEMORY_FOLDER
from tests import models
from tests.doors import ENGINES, Doors, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ENGINES)
async def worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    folder = tmp_path_factory.mktemp("administration")
    root = models.repository(folder / "models", {"linear": {1: models.linear()}, "two": {1: models.two_inputs()}})
    async with opened(root, folder / "state", **ENGINES[request.param]) as doors:
        yield doors


@pytest_asyncio.fixture(loop_scope="module")
async def doors(worker: Doors) -> AsyncIterator[Doors]:
    """The module's worker, as it was at first."""
    yield worker
    shutil.rmtree(worker.models / "two" / "2", ignore_errors=True)
    await worker.admin.load_all()


@pytest_asyncio.fixture(loop_scope="module")
async def http(doors: Doors) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=doors.http) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def inference(doors: Doors) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(doors.grpc) as channel:
        yield services.stub(channel, services.OPEN_INFERENCE)


@pytest.fixture
def shared_object() -> Iterator[Path]:
    """A POSIX shared-memory object of 64 bytes: two INT32 rows at 0 and 8, room for answers behind."""
    path = SHARED_MEMORY_FOLDER / f"rapide-test-{os.getpid()}"
    path.write_bytes(np.array([1, 2, 3, 5], np.int32).tobytes().ljust(64, b"\0"))
    yield path
    path.unlink()


# Repository.


async def index(http: httpx.AsyncClient, **body: Any) -> list[tuple[str, str, str]]:
    found = (await http.post("/v2/repository/index", json=body)).json()
    return [(entry["name"], entry["version"], entry["state"]) for entry in found]


async def test_unloading_and_loading_over_http(http: httpx.AsyncClient, doors: Doors) -> None:
    for port in ("", doors.metrics):
        unloaded = await http.post(
            f"{port}/v2/repository/models/two/unload", json={"parameters": {"unload_dependents": True}}
        )
        assert (unloaded.status_code, unloaded.json()) == (200, {})
        assert ("two", "1", "READY") not in await index(http)
        assert (await http.get("/v2/models/two/ready")).status_code == 404

        loaded = await http.post(f"{port}/v2/repository/models/two/load")
        assert (loaded.status_code, loaded.json()) == (200, {})
        assert ("two", "1", "READY") in await index(http, ready=True)
        assert (await http.get("/v2/models/two/ready")).status_code == 200


async def test_unloading_and_loading_over_grpc(inference: Any) -> None:
    await inference.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="two"))
    assert not (await inference.ModelReady(pb.ModelReadyRequest(name="two"))).ready

    await inference.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="two"))
    found = (await inference.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))).models
    assert {(entry.name, entry.version, entry.state) for entry in found} == {
        ("linear", "1", "READY"),
        ("two", "1", "READY"),
    }


async def test_a_new_version_is_loaded_beside_the_old_one(http: httpx.AsyncClient, doors: Doors) -> None:
    models.save(models.two_inputs(), doors.models / "two" / "2" / "model.onnx")

    await http.post("/v2/repository/models/two/load")

    assert [entry for entry in await index(http) if entry[0] == "two"] == [
        ("two", "1", "READY"),
        ("two", "2", "READY"),
    ]
    assert (await http.get("/v2/models/two")).json()["versions"] == ["1", "2"]


async def test_a_broken_version_is_refused_and_the_good_one_stays(http: httpx.AsyncClient, doors: Doors) -> None:
    models.save(models.unknown_operator(), doors.models / "two" / "2" / "model.onnx")

    answer = await http.post("/v2/repository/models/two/load")

    assert answer.status_code == 409
    assert answer.json()["error"].startswith("two/2: ")
    assert (await http.get("/v2/models/two")).json()["versions"] == ["1"]


@pytest.mark.parametrize("action", ["load", "unload"])
async def test_parameters_that_would_change_a_model_are_not_offered(http: httpx.AsyncClient, action: str) -> None:
    answer = await http.post(f"/v2/repository/models/two/{action}", json={"parameters": {"config": "{}"}})

    assert answer.status_code == 501
    assert answer.json() == {
        "error": "parameter 'config' is not offered: models are served as they were published. "
        "Publish a new version instead."
    }


# Shared memory.


async def test_tensors_in_shared_memory_over_http(http: httpx.AsyncClient, shared_object: Path) -> None:
    region = "/v2/systemsharedmemory/region/tensors"
    registered = await http.post(f"{region}/register", json={"key": f"/{shared_object.name}", "byte_size": 64})
    assert (registered.status_code, registered.json()) == (200, {})
    where = {"shared_memory_region": "tensors", "shared_memory_byte_size": 8}
    request = {
        "inputs": [
            {"name": "a", "datatype": "INT32", "shape": [1, 2], "parameters": where},
            {"name": "b", "datatype": "INT32", "shape": [1, 2], "parameters": where | {"shared_memory_offset": 8}},
        ],
        "outputs": [{"name": "sum", "parameters": where | {"shared_memory_offset": 16}}, {"name": "difference"}],
    }

    answer = (await http.post("/v2/models/two/infer", json=request)).json()

    first, second = answer["outputs"]
    assert "data" not in first
    assert first["parameters"] == where | {"shared_memory_offset": 16}
    assert second["data"] == [-2, -3]
    assert np.frombuffer(shared_object.read_bytes(), np.int32)[4:6].tolist() == [4, 7]

    status = (await http.get("/v2/systemsharedmemory/status")).json()
    assert status == [{"name": "tensors", "key": f"/{shared_object.name}", "offset": 0, "byte_size": 64}]
    assert (await http.get(f"{region}/status")).json() == status
    assert (await http.post(f"{region}/unregister")).status_code == 200
    assert (await http.post("/v2/models/two/infer", json=request)).status_code == 404


async def test_tensors_in_shared_memory_over_grpc(inference: Any, shared_object: Path) -> None:
    register = pb.SystemSharedMemoryRegisterRequest(name="tensors", key=shared_object.name, offset=0, byte_size=64)
    await inference.SystemSharedMemoryRegister(register)

    def where(offset: int) -> dict[str, pb.InferParameter]:
        return {
            "shared_memory_region": pb.InferParameter(string_param="tensors"),
            "shared_memory_byte_size": pb.InferParameter(int64_param=8),
            "shared_memory_offset": pb.InferParameter(int64_param=offset),
        }

    tensor = pb.ModelInferRequest.InferInputTensor
    answer = await inference.ModelInfer(
        pb.ModelInferRequest(
            model_name="two",
            inputs=[
                tensor(name="a", datatype="INT32", shape=[1, 2], parameters=where(0)),
                tensor(name="b", datatype="INT32", shape=[1, 2], parameters=where(8)),
            ],
            outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="sum", parameters=where(16))],
        )
    )

    assert answer.raw_output_contents == [b""]
    assert answer.outputs[0].parameters["shared_memory_region"].string_param == "tensors"
    assert np.frombuffer(shared_object.read_bytes(), np.int32)[4:6].tolist() == [4, 7]
    status = await inference.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest())
    assert status.regions["tensors"].byte_size == 64
    await inference.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest())
    assert not (await inference.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest())).regions


async def test_an_output_that_does_not_fit_its_region_is_refused(
    http: httpx.AsyncClient, shared_object: Path
) -> None:
    await http.post("/v2/systemsharedmemory/region/r/register", json={"key": shared_object.name, "byte_size": 64})
    tensors = [{"name": name, "datatype": "INT32", "shape": [1, 2], "data": [1, 2]} for name in "ab"]
    where = {"shared_memory_region": "r", "shared_memory_byte_size": 4}

    answer = await http.post(
        "/v2/models/two/infer", json={"inputs": tensors, "outputs": [{"name": "sum", "parameters": where}]}
    )

    assert answer.status_code == 400
    assert answer.json() == {"error": "the output needs 8 bytes; shared_memory_byte_size for region 'r' is 4"}


async def test_a_name_is_registered_once(http: httpx.AsyncClient, shared_object: Path) -> None:
    region = {"key": shared_object.name, "byte_size": 8}
    first = await http.post("/v2/systemsharedmemory/region/r/register", json=region)
    second = await http.post("/v2/systemsharedmemory/region/r/register", json=region)

    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json() == {"error": "shared-memory region 'r' is already registered. Unregister it first."}


@pytest.mark.parametrize(
    "path", ["status", "region/r/status", "region/r/register", "unregister", "region/r/unregister"]
)
async def test_cuda_shared_memory_is_not_offered(http: httpx.AsyncClient, path: str) -> None:
    method = "GET" if path.endswith("status") else "POST"

    answer = await http.request(method, f"/v2/cudasharedmemory/{path}")

    assert answer.status_code == 501
    assert "no CUDA shared memory" in answer.json()["error"]


@pytest.mark.parametrize("name", ["Status", "Register", "Unregister"])
async def test_cuda_shared_memory_is_not_offered_over_grpc(inference: Any, name: str) -> None:
    request = getattr(pb, f"CudaSharedMemory{name}Request")()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(inference, f"CudaSharedMemory{name}")(request)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_shared_memory_can_be_switched_off(tmp_path: Path) -> None:
    root = models.repository(tmp_path / "off", {"two": {1: models.two_inputs()}})
    where = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    async with opened(root, tmp_path / "state", shared_memory=False) as doors, httpx.AsyncClient() as http:
        status = await http.get(f"{doors.http}/v2/systemsharedmemory/status")
        infer = await http.post(
            f"{doors.http}/v2/models/two/infer",
            json={"inputs": [{"name": "a", "datatype": "INT32", "shape": [1, 2], "parameters": where}]},
        )
        extensions = (await http.get(f"{doors.http}/v2")).json()["extensions"]

    assert (status.status_code, infer.status_code) == (501, 501)
    assert "system_shared_memory" not in extensions


# Settings.


async def test_log_settings(http: httpx.AsyncClient, inference: Any, doors: Doors) -> None:
    before = (await http.get("/v2/logging")).json()
    changed = await http.post("/v2/logging", json={"log_verbose_level": 1, "log_info": True})

    assert changed.json() == before | {"log_verbose_level": 1, "log_info": True}
    assert (await http.get(f"{doors.metrics}/v2/logging")).json() == changed.json()
    found = await inference.LogSettings(pb.LogSettingsRequest())
    assert found.settings["log_verbose_level"].uint32_param == 1
    assert found.settings["log_info"].bool_param
    value = pb.LogSettingsRequest.SettingValue
    found = await inference.LogSettings(
        pb.LogSettingsRequest(
            settings={"log_verbose_level": value(uint32_param=0), "log_info": value(bool_param=False)}
        )
    )
    assert (await http.get("/v2/logging")).json() == before | {"log_info": False}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"log_levl": 1}, "log setting 'log_levl' is unknown"),
        ({"log_info": "yes"}, "log_info must be true or false"),
        ({"log_file": "/etc/passwd"}, "log_file cannot be changed by a request"),
        ({"log_verbose_level": -1}, "log_verbose_level must be a whole number"),
    ],
)
async def test_log_settings_that_cannot_be(http: httpx.AsyncClient, settings: dict[str, Any], text: str) -> None:
    before = (await http.get("/v2/logging")).json()

    answer = await http.post("/v2/logging", json={"log_warning": False} | settings)

    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert (await http.get("/v2/logging")).json() == before


async def test_trace_settings_of_all_and_of_one(http: httpx.AsyncClient, inference: Any) -> None:
    before = (await http.get("/v2/trace/setting")).json()

    assert (await http.post("/v2/trace/setting", json={"trace_rate": 10})).json() == before | {"trace_rate": "10"}
    one = await http.post("/v2/models/two/trace/setting", json={"trace_rate": "20", "trace_count": ["5"]})
    assert one.json() == before | {"trace_rate": "20", "trace_count": "5"}
    assert (await http.get("/v2/models/linear/trace/setting")).json()["trace_rate"] == "10"

    found = await inference.TraceSetting(pb.TraceSettingRequest(model_name="two"))
    assert found.settings["trace_rate"].value == ["20"]
    value = pb.TraceSettingRequest.SettingValue
    await inference.TraceSetting(pb.TraceSettingRequest(settings={"trace_rate": value()}))
    assert (await http.get("/v2/trace/setting")).json() == before


@pytest.mark.parametrize(
    ("settings", "code", "text"),
    [
        ({"trace_lvl": "MAX"}, 400, "trace setting 'trace_lvl' is unknown"),
        ({"trace_rate": 0}, 400, "trace_rate must be one whole number from 1"),
        ({"trace_rate": {"a": 1}}, 400, "trace setting 'trace_rate' must be a text, a number or a list of texts"),
        ({"trace_level": ["TIMESTAMPS"]}, 400, "there is no file to write traces to"),
        ({"trace_level": ["TENSORS"]}, 501, "TENSORS is not offered"),
    ],
)
async def test_trace_settings_that_cannot_be(
    http: httpx.AsyncClient, settings: dict[str, Any], code: int, text: str
) -> None:
    answer = await http.post("/v2/trace/setting", json=settings)

    assert answer.status_code == code
    assert text in answer.json()["error"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_trace_settings_of_an_unknown_model(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/v2/models/none/trace/setting", json={"trace_rate": "2"})

    assert answer.status_code == 404
