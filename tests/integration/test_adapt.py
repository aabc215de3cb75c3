"""A real server, told to adapt, under far more load than it was tuned for: it moves its limits, and says so."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import grpc
import pytest

from rapide.cli.main import main
from rapide.profiles.document import Profile
from rapide.profiles.drift import proven_usage
from rapide.profiles.synthetic import synthetic
from rapide.proto import open_inference_pb2 as pb
from rapide.proto import services
from rapide.server.cores import read_cores
from rapide.server.machine import cpu_signature
from rapide.server.proven import Proven, UsageRecord
from rapide.server.repository.fields import Fields
from rapide.server.repository.local import open_repository
from rapide.server.tuning_file import ModelTuning, TuningFile
from rapide.server.tuning_folder import TuningFolder
from tests import models
from tests.integration.server_process import RapideServer, call, eventually, infer_message, running
from tests.versions import publish_version

pytestmark = pytest.mark.integration


def tuned(folder: Path, repository: Path, profile: Profile) -> None:
    """A tuning file for this machine, proven for ``profile``."""
    version = open_repository(repository).scan().models["linear"].versions[1]
    usage = UsageRecord.read(Fields(proven_usage(profile.find("linear"), 1)))
    tuning = ModelTuning(
        max_batch_rows=64, proven=Proven((16, 256), (1000, 8000), usage, usage.rows_sum / usage.span_s)
    )
    cores = read_cores().usable
    path = TuningFolder(folder, cpu_signature(cores), cores).path_of(str(version.digest))
    assert path is not None
    path.parent.mkdir(parents=True)
    file = TuningFile(cpu_signature(cores), str(version.digest), "linear", 1, tuning)
    path.write_bytes(file.to_bytes())


def keep_asking(server: RapideServer, is_over: threading.Event) -> None:
    """A few hundred requests a second, evenly."""
    message = pb.ModelInferRequest.FromString(infer_message("linear", width=4))
    with grpc.insecure_channel(server.grpc_target) as channel:
        stub = services.stub(channel, services.OPEN_INFERENCE)
        while not is_over.wait(0.002):
            stub.ModelInfer(message, timeout=10)


def test_a_server_that_adapts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_version(tmp_path / "models", "linear", models.linear())
    profile = synthetic("steady", model="linear", rate_per_s=30, duration_s=60)
    (tmp_path / "tuned.json").write_bytes(profile.to_bytes())
    tuned(tmp_path / "tuning", tmp_path / "models", profile)
    flags = ("--tuning", str(tmp_path / "tuning"), "--adapt", "--adapt-every-s", "2", "--workers", "1")
    with running(tmp_path / "models", *flags) as server:
        is_over = threading.Event()
        asking = [threading.Thread(target=keep_asking, args=(server, is_over)) for _ in range(3)]
        for one in asking:
            one.start()
        try:
            eventually(lambda: "max_batch_rows 64 " in server.errors, "the batch cap has moved")
        finally:
            is_over.set()
            for one in asking:
                one.join()
        host, port = server.http_address
        capsys.readouterr()
        main(["profile", "diff", str(tmp_path / "tuned.json"), f"http://{host}:{port}", "--json"])
        found = json.loads(capsys.readouterr().out)
        _, _, metrics = call(server.metrics_address, "GET", "/metrics")
    (linear,) = found["models"]
    assert found["drifted"] is True
    assert 64 < linear["adapted"]["max_batch_rows"] <= 256
    assert 'rapide_adapted_limit{model="linear",version="1",limit="max_batch_rows"}' in metrics
    assert 'rapide_adaptations_total{model="linear",version="1",limit="max_batch_rows"} 1' in metrics
    assert "within the proven 16 to 256" in server.errors
