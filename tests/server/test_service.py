"""The service without a door: routing, deadlines, what telemetry is told, and the change from state to state."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rapide.server.catalogue import Catalogue, catalogue_of
from rapide.server.codecs.columns import Form, PredictCall
from rapide.server.context import CallContext
from rapide.server.control import ServerState
from rapide.server.errors import DeadlineExceeded, InvalidRequest, NotFound, RapideError
from rapide.server.repository.local import open_repository
from rapide.server.repository.plan import ServingPlan, plan
from rapide.server.repository.policy import ALL
from rapide.server.service import InferenceService
from rapide.server.settings import Settings
from rapide.server.signature import DataType
from rapide.server.telemetry.telemetry import Telemetry
from rapide.server.tensors import InferRequest, InferResponse, InputTensor, Parameter, RequestedOutput
from tests import models
from tests.idle import NoAdmin
from tests.versions import publish_version, set_labels


@pytest.fixture
async def telemetry() -> AsyncIterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


@pytest.fixture
async def catalogue(tmp_path: Path, telemetry: Telemetry) -> AsyncIterator[Catalogue]:
    root = tmp_path / "models"
    publish_version(root, "line", models.linear())
    publish_version(root, "line", models.linear(2.0))
    set_labels(root, "line", "stable=1", "canary=2:50%")
    with ThreadPoolExecutor(1) as runners, ThreadPoolExecutor(1) as loaders:
        catalogue = catalogue_of(Settings(), telemetry.recorder, runners, loaders)
        planned = plan(open_repository(root).scan(), ALL)
        assert await catalogue.prepare(1, ServingPlan.from_json(planned.to_json())) == []
        catalogue.commit(1)
        yield catalogue
        await catalogue.close(1.0)


@pytest.fixture
async def service(catalogue: Catalogue, telemetry: Telemetry) -> InferenceService:
    return InferenceService(catalogue, Settings(), telemetry, NoAdmin())


def context(**known: Any) -> CallContext:
    return CallContext("grpc", "id", time.monotonic(), **known)


def request(
    version: str = "", rows: int = 1, parameters: Mapping[str, Parameter] | None = None, *outputs: str
) -> InferRequest:
    tensor = InputTensor("x", DataType.FP32, np.ones((rows, 4), np.float32))
    return InferRequest(
        "line", version, "mine", [tensor], [RequestedOutput(name) for name in outputs], parameters or {}
    )


async def test_an_answer_and_what_is_known_of_it(service: InferenceService) -> None:
    call = context()

    response = await service.infer(request("2", rows=3), call)

    assert (response.model_name, response.model_version, response.id) == ("line", "2", "mine")
    assert response.outputs[0].array.shape == (3, 3)
    assert call.answered_by is not None
    assert (call.answered_by.model, call.answered_by.version) == ("line", "2")
    assert call.rows == 3
    assert call.compute_s > 0


@pytest.mark.parametrize(
    ("version", "asked", "answered"),
    [
        ("", {"label": "canary"}, "2"),
        ("", {"label": "stable"}, "1"),
        ("", {"pinned_version": "2"}, "2"),
        ("1", {"pinned_version": "2"}, "1"),
        ("2", {"label": "canary"}, "2"),
    ],
)
async def test_who_is_asked_for_answers(
    service: InferenceService, version: str, asked: dict[str, str], answered: str
) -> None:
    assert (await service.infer(request(version), context(**asked))).model_version == answered


async def test_the_same_key_meets_the_same_version_and_keys_are_shared_out(service: InferenceService) -> None:
    async def version_of(key: str) -> str:
        return (await service.infer(request(), context(user_key=key))).model_version

    first = [await version_of(f"customer {number}") for number in range(40)]
    second = [await version_of(f"customer {number}") for number in range(40)]

    assert first == second
    assert set(first) == {"1", "2"}


async def test_an_unknown_output_is_refused_before_the_model_runs(
    service: InferenceService, telemetry: Telemetry
) -> None:
    call = context()
    with pytest.raises(InvalidRequest, match="unknown output 'z'; the model has 'y'"):
        await service.infer(request("1", 1, None, "z"), call)

    assert call.answered_by is not None, "who refuses is known"
    assert call.compute_s == 0


@pytest.mark.parametrize(
    ("known", "parameters"),
    [({"deadline_s": 0.0}, {}), ({}, {"timeout": 1}), ({"deadline_s": math.inf}, {"timeout": 1})],
    ids=["of the call", "Triton's", "both"],
)
async def test_the_earlier_deadline_counts(
    service: InferenceService, known: dict[str, float], parameters: dict[str, Parameter]
) -> None:
    call = context(**known)
    call.received_s -= 1.0

    with pytest.raises(DeadlineExceeded):
        await service.infer(request(parameters=parameters), call)


async def test_a_timeout_of_zero_is_none_as_with_triton(service: InferenceService) -> None:
    assert await service.infer(request(parameters={"timeout": 0}), context())


async def test_named_values_by_the_tensors_names_where_no_features_are_known(service: InferenceService) -> None:
    answer = await service.predict("line", "1", PredictCall(Form.ROWS, [{"x": [0.0, 0.0, 0.0, 0.0]}]), context())

    assert list(answer.columns) == ["y"]
    assert answer.columns["y"].values.tolist() == [models.LINEAR_BIAS.tolist()]


# The two ways to ask.


async def submitted(
    service: InferenceService, given: InferRequest, call: CallContext
) -> InferResponse | Exception:
    landed: asyncio.Future[InferResponse | Exception] = asyncio.get_running_loop().create_future()
    service.submit(given, call, landed.set_result)
    return await landed


async def test_a_callback_gets_what_a_task_would(service: InferenceService) -> None:
    awaited = await service.infer(request("2"), context())
    called = await submitted(service, request("2"), context())

    assert isinstance(called, InferResponse)
    assert called.outputs[0].array.tolist() == awaited.outputs[0].array.tolist()


async def test_a_callback_gets_errors_too(service: InferenceService) -> None:
    late = context(deadline_s=0.0)

    assert isinstance(await submitted(service, request(), late), DeadlineExceeded)
    with pytest.raises(InvalidRequest):
        service.submit(request("1", 1, None, "z"), context(), lambda _: None)


async def test_a_cancelled_callback_is_not_called(service: InferenceService) -> None:
    called: list[object] = []
    cancel = service.submit(request(), context(), called.append)

    assert cancel()
    await submitted(service, request(), context())
    assert called == []


# Telemetry.


async def test_in_flight_returns_to_nothing_however_a_request_ends(
    service: InferenceService, telemetry: Telemetry
) -> None:
    def in_flight() -> int:
        (line,) = [
            line
            for line in telemetry.render_metrics().decode().splitlines()
            if line.startswith('rapide_in_flight{model="line",version="1"')
        ]
        return int(float(line.split()[-1]))

    await service.infer(request("1"), context())
    assert in_flight() == 0
    with pytest.raises(DeadlineExceeded):
        await service.infer(request("1"), context(deadline_s=0.0))
    assert in_flight() == 0
    task = asyncio.create_task(service.infer(request("1"), context()))
    await asyncio.sleep(0)
    assert in_flight() == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert in_flight() == 0
    cancel = service.submit(request("1"), context(), lambda _: None)
    assert in_flight() == 1
    assert cancel()
    assert in_flight() == 0


async def test_finished_requests_are_counted_under_who_answered(
    service: InferenceService, telemetry: Telemetry
) -> None:
    call = context()
    await service.infer(request("2"), call)
    service.finished(call, "ok")
    service.finished(context(), "not_found")

    page = telemetry.render_metrics().decode()
    assert 'rapide_requests_total{model="line",version="2",label="",protocol="grpc",code="ok"} 1' in page
    assert 'rapide_requests_total{model="",version="",label="",protocol="grpc",code="not_found"} 1' in page


# From one state to the next.


async def test_a_state_that_cannot_be_changes_nothing(service: InferenceService) -> None:
    before = service.administration.log_settings()
    region = {"r": {"key": "rapide-is-not-here", "offset": 0, "byte_size": 8}}

    for state in (
        ServerState({}, regions=region, log={"log_info": False}),
        ServerState({}, log={"log_info": "maybe"}),
        ServerState({}, trace={"": {"trace_rate": ["0"]}}),
    ):
        with pytest.raises(RapideError):
            service.prepare(state)
        service.abort()

    assert service.administration.log_settings() == before
    assert service.administration.regions() == []
    assert not service.inspection.server_ready()


async def test_committing_makes_ready_and_tells_those_who_watch(service: InferenceService) -> None:
    async def watch() -> list[bool]:
        return [service.inspection.server_ready() async for _ in service.inspection.changes()]

    watching = asyncio.create_task(watch())
    await _settle()
    service.commit(ServerState({}, log={"log_info": False}))
    await _settle()
    service.unready()
    await _settle()
    service.close()
    assert await watching == [False, True, False]
    assert service.administration.log_settings()["log_info"] is False


async def _settle() -> None:
    """Lets everybody run who can."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_problems_are_in_the_index_and_do_not_make_unready(service: InferenceService) -> None:
    problem = {"model": "line", "version": 3, "reason": "digest mismatch"}
    service.commit(ServerState({}, problems=[problem]))

    index = service.inspection.index()

    assert [(entry["version"], entry["state"]) for entry in index] == [
        ("1", "READY"),
        ("2", "READY"),
        ("3", "UNAVAILABLE"),
    ]
    assert service.inspection.server_ready()
    assert not service.inspection.model_ready("line", "3")
    with pytest.raises(NotFound):
        service.inspection.model_ready("line", "4")
