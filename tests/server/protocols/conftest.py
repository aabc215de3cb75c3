"""A worker with a few real models behind its doors, once for each module and for both kinds of engines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
import pytest_asyncio

from rapide.server.repository.manifest import Feature, Prediction
from rapide.server.signature import DataType
from tests import models
from tests.doors import ENGINES, Doors, opened
from tests.versions import publish_version, set_labels

MAX_MESSAGE_BYTES = 4 << 20


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    two      INT32 a, b → sum, difference; versions 1 (stable), 2 (canary, by name only)
    text     BYTES x → y, as it is
    classes  FP32 x → label, probabilities; a manifest names the classes low and high
    price    fuel, mileage → price, by name
    slow     FP32 x → y; a run takes long enough to be overtaken
    failing  loads, and fails at every run
    """
    root = tmp_path_factory.mktemp("repository") / "models"
    models.repository(
        root,
        {
            "two": {1: models.two_inputs(), 2: models.two_inputs()},
            "text": {1: models.identity(DataType.BYTES, ("N", 1))},
            "slow": {1: models.slow(10_000)},
            "failing": {1: models.failing()},
        },
    )
    set_labels(root, "two", "stable=1", "canary=2")
    publish_version(
        root,
        "classes",
        models.classifier(),
        predictions=[Prediction("size", "label", None, "integer", ("low", "high"))],
        description="Small or large",
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
        description="What a used car is worth",
    )
    return root


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ENGINES)
async def doors(
    request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Doors]:
    state = tmp_path_factory.mktemp("state")
    async with opened(repository, state, max_message_bytes=MAX_MESSAGE_BYTES, **ENGINES[request.param]) as doors:
        yield doors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(doors: Doors) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=doors.http) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(doors: Doors) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(doors.grpc) as channel:
        yield channel
