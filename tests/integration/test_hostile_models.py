"""A real server whose repository holds hostile models: each is reported broken with its reason, and the good one
answers as if they were not there."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rapide.server.repository.manifest import MAX_MANIFEST_BYTES
from tests import models
from tests.hostile_models import ATTACKS, IN_THE_RUNTIME, Attack
from tests.integration.server_process import RapideServer, call, eventually, infer_json, running
from tests.versions import publish_version

pytestmark = pytest.mark.integration
LIMITS = ("--trial-timeout-s", "4", "--trial-memory-bytes", str(2 << 30))
MOST_WORKER_BYTES = 400 << 20
MOST_SUPERVISOR_BYTES = 200 << 20


def _manifest(content: bytes) -> Attack:
    def write(folder: Path) -> None:
        models.save(models.linear(), folder / "model.onnx")
        (folder / "manifest.json").write_bytes(content)

    return Attack("", "", write)


MANIFESTS = {
    "a manifest without end": (_manifest(b" " * (MAX_MANIFEST_BYTES + 1)), "it is longer than"),
    "a manifest nested deeply": (_manifest(b'{"a":' * 500_000), "it nests too deeply"),
    "a manifest of empty objects": (_manifest(b'{"a":[' + b"{}," * 5_000_000), "brackets and commas"),
    "a manifest of another place": (_manifest(b'{"schema": 1}'), "is missing"),
}


def _named(text: str) -> str:
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("hostile")
    models.save(models.linear(), root / "good" / "1" / "model.onnx")
    attacks = {attack.name: attack for attack in (*ATTACKS, *IN_THE_RUNTIME)}
    attacks |= {name: attack for name, (attack, _) in MANIFESTS.items()}
    for name, attack in attacks.items():
        folder = root / _named(name) / "1"
        folder.mkdir(parents=True)
        attack.write(folder)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[RapideServer]:
    with running(repository, "--workers", "1", *LIMITS) as started:
        yield started


@pytest.fixture(scope="module")
def index(server: RapideServer) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in call(server.http_address, "POST", "/v2/repository/index")[2]}


EXPECTED = {attack.name: attack.says for attack in (*ATTACKS, *IN_THE_RUNTIME)}
EXPECTED |= {name: says for name, (_, says) in MANIFESTS.items()}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_is_reported_with_its_reason(
    index: dict[str, dict[str, Any]], server: RapideServer, name: str
) -> None:
    told = re.findall(rf"not served: {re.escape(_named(name))}[/:].*", server.errors)
    assert told, "it is not reported"
    assert re.search(EXPECTED[name], told[0]), told[0]
    assert index.get(_named(name), {"state": "UNAVAILABLE"})["state"] != "READY"


def test_the_good_one_answers_and_nobody_died(server: RapideServer) -> None:
    status, _, answer = call(server.http_address, "POST", "/v2/models/good/infer", infer_json(rows=2, width=4))
    assert status == 200
    assert answer["outputs"][0]["shape"] == [2, 3]
    assert "is gone" not in server.errors, "a worker was lost"
    worker = server.children[0]
    assert _peak_bytes(worker) < MOST_WORKER_BYTES
    assert _peak_bytes(server.pid) < MOST_SUPERVISOR_BYTES


def test_one_that_is_put_there_while_others_answer(server: RapideServer, repository: Path) -> None:
    attack = next(each for each in IN_THE_RUNTIME if each.name == "a loop without end")
    folder = repository / "late" / "1"
    folder.mkdir(parents=True)
    attack.write(folder)
    slowest_s = 0.0

    def is_told() -> bool:
        nonlocal slowest_s
        begun_s = time.monotonic()
        assert call(server.http_address, "POST", "/v2/models/good/infer", infer_json(width=4))[0] == 200
        slowest_s = max(slowest_s, time.monotonic() - begun_s)
        return "not served: late/1: its trial took longer than 4 s" in server.errors

    took_s = eventually(is_told, "it is reported", within_s=30)
    assert took_s < 20
    assert slowest_s < 2
    assert "is gone" not in server.errors


def test_a_forged_proof_is_of_no_use_where_nobody_is_trusted(tmp_path: Path) -> None:
    """Its manifest says that it was tried. With ``--trial all`` that is not asked."""
    attack = next(each for each in IN_THE_RUNTIME if each.name == "a loop without end")
    attack.write(tmp_path)
    root = tmp_path / "models"
    publish_version(root, "good", models.linear())
    loop = models.onnx.load(tmp_path / "model.onnx")
    publish_version(root, "forged", loop, is_tried=True)
    with running(root, "--workers", "1", "--trial", "all", *LIMITS) as started:
        assert re.search(r"not served: forged/1: its trial took longer than 4 s", started.errors)
        assert call(started.http_address, "POST", "/v2/models/good/infer", infer_json(width=4))[0] == 200
        assert "is gone" not in started.errors
    assert not os.path.exists("/tmp/rapide-was-here")
