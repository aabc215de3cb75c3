"""One server with both lanes, for all clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rapide.server.signature import DataType
from tests import models
from tests.serving import Served, serving

LANES = ("--grpc-engine", "lane", "--http-engine", "lane")


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``echo`` answers y = x, FP32 of any shape [N, D]."""
    root = tmp_path_factory.mktemp("clients") / "models"
    return models.repository(root, {"echo": {1: models.identity(DataType.FP32, ("N", "D"))}})


@pytest.fixture(scope="session")
def lanes(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(repository, tmp_path_factory.mktemp("lanes") / "log", *LANES) as served:
        yield served


@pytest.fixture(scope="session")
def ageing(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same, with connections that are told to come again as soon as that is looked at."""
    log = tmp_path_factory.mktemp("ageing") / "log"
    with serving(repository, log, *LANES, "--max-connection-age-s", "0.1") as served:
        yield served
