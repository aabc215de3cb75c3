"""System shared memory: tensors that never travel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, shared_memory

from tests.conformance.target import Target

pytestmark = pytest.mark.extension("system_shared_memory")
every_library = pytest.mark.parametrize("library", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
SENT = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


def key(name: str) -> str:
    """The machine's name for it, which other runs of this suite do not use."""
    return f"/rapide_{os.getpid()}_{name}"


@contextmanager
def regions(target: Target, library: Any) -> Iterator[tuple[Any, Any, Any]]:
    """A client, and a region for the input and one for the output, registered; all is undone at the end."""
    if not target.is_local:
        pytest.skip("the server runs on another machine")
    address = target.host_port if library is tritonclient.http else target.need_grpc()
    with library.InferenceServerClient(address) as client:
        made = {name: shared_memory.create_shared_memory_region(name, key(name), 64) for name in ("in", "out")}
        try:
            for name in made:
                client.register_system_shared_memory(name, key(name), 64)
            yield client, made["in"], made["out"]
        finally:
            client.unregister_system_shared_memory()
            for region in made.values():
                shared_memory.destroy_shared_memory_region(region)


def names(client: Any, library: Any) -> set[str]:
    status = client.get_system_shared_memory_status()
    return {item["name"] for item in status} if library is tritonclient.http else set(status.regions)


@every_library
def test_tensors_come_and_go_through_memory(target: Target, library: Any) -> None:
    with regions(target, library) as (client, source, sink):
        shared_memory.set_shared_memory_region(source, [SENT], offset=16)
        tensor = library.InferInput("x", [2, 2], "FP32")
        tensor.set_shared_memory("in", SENT.nbytes, offset=16)
        wanted = library.InferRequestedOutput("y")
        wanted.set_shared_memory("out", SENT.nbytes, offset=32)
        answer = client.infer("identity_fp32", [tensor], outputs=[wanted])
        found = shared_memory.get_contents_as_numpy(sink, np.float32, [2, 2], offset=32)
        assert found.tolist() == SENT.tolist()
        assert not carries_data(answer), "the answer says where its data is, and holds none"
        del found  # a view on the region, which could not be closed otherwise


def carries_data(answer: Any) -> bool:
    response = answer.get_response()
    if isinstance(response, dict):
        (output,) = response["outputs"]
        return "data" in output or "binary_data_size" in output.get("parameters", {})
    return any(response.raw_output_contents)  # an entry for each output, also for those that are elsewhere


@every_library
def test_regions_are_listed_and_forgotten(target: Target, library: Any) -> None:
    with regions(target, library) as (client, _, _):
        assert {"in", "out"} <= names(client, library)
        client.unregister_system_shared_memory("in")
        assert "in" not in names(client, library)
    with library.InferenceServerClient(
        target.host_port if library is tritonclient.http else target.need_grpc()
    ) as client:
        assert "out" not in names(client, library)


@every_library
@pytest.mark.parametrize(
    ("region", "size", "offset"),
    [("nothing", 16, 0), ("in", 16, 60), ("in", 16, 1 << 40), ("in", 8, 0)],
    ids=["unknown region", "past the end", "far past the end", "too few bytes"],
)
def test_what_does_not_fit_is_refused(target: Target, library: Any, region: str, size: int, offset: int) -> None:
    with regions(target, library) as (client, _, _):
        tensor = library.InferInput("x", [2, 2], "FP32")
        tensor.set_shared_memory(region, size, offset=offset)
        with pytest.raises(InferenceServerException):
            client.infer("identity_fp32", [tensor])


@every_library
def test_a_region_that_does_not_exist_cannot_be_registered(target: Target, library: Any) -> None:
    with regions(target, library) as (client, _, _), pytest.raises(InferenceServerException):
        client.register_system_shared_memory("ghost", key("ghost"), 64)
