"""Models of MLflow, from a real tracking server and from folders."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rapide.converters.errors import ConversionError
from rapide.converters.sources.mlflow_model.address import mlflow_address
from rapide.converters.sources.mlflow_model.fetch import _without_secrets
from tests.converters.extras import imported, installed, needs
from tests.converters.material import floats, two_classes
from tests.converters.sources.conftest import Publish

needs("mlflow", "mlflow", "skops")
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
STARTS_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on loopback, with its database and its artifacts in a folder."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "mlflow",
                "server",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--workers",
                "1",
            ),
            *(
                "--backend-store-uri",
                f"sqlite:///{folder}/store.db",
                "--artifacts-destination",
                str(folder / "files"),
            ),
        ],
        stdout=log,
        stderr=log,
        env={**os.environ, **QUIET},
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not _answers(f"{address}/health"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
        log.close()


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as response:
        return bool(response.status == 200)
    return False


LOG = """
import sys, joblib, mlflow
mlflow.set_experiment("cars")
for auc in (0.7, 0.8, 0.9):
    with mlflow.start_run(run_name=f"run {auc}") as run:
        mlflow.log_metric("auc", auc)
        mlflow.log_param("C", 1.0)
        mlflow.sklearn.log_model(joblib.load(sys.argv[1]), name="model", registered_model_name="diagnosis")
mlflow.MlflowClient().set_registered_model_alias("diagnosis", "champion", "2")
print(run.info.run_id)
"""


@pytest.fixture(scope="module")
def run_id(server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three versions of ``diagnosis`` on the server; the last one's run."""
    joblib = imported("joblib")
    frame = floats()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, two_classes(frame))
    path = tmp_path_factory.mktemp("model") / "model.joblib"
    joblib.dump(model, path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOG, str(path)],
        capture_output=True, text=True, check=False, env={**os.environ, **QUIET, "MLFLOW_TRACKING_URI": server},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return next(line for line in reversed(done.stdout.splitlines()) if len(line) == 32)


def test_a_version_of_the_registry(
    server: str, run_id: str, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    frame = floats()
    found = publish(Path("models:/diagnosis/3"), frame.assign(truth=two_classes(frame)), target="truth")
    origin = found.manifest.lineage["mlflow"]
    assert origin["address"] == "models:/diagnosis/3"
    assert (origin["name"], origin["version"], origin["tracking_server"]) == ("diagnosis", "3", server)
    assert (origin["run_id"], origin["metrics"], origin["parameters"]) == (run_id, {"auc": 0.9}, {"C": "1.0"})
    assert found.manifest.lineage["estimator"] == "sklearn.Pipeline"
    assert found.manifest.quality["accuracy"] > 0.9


def test_an_alias_and_a_version_that_is_not_there(
    server: str, run_id: str, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    found = publish(Path("models:/diagnosis@champion"), floats())
    assert found.manifest.lineage["mlflow"]["version"] == "2"
    assert found.manifest.lineage["mlflow"]["metrics"] == {"auc": 0.8}
    with pytest.raises(ConversionError, match=r"models:/diagnosis/9 cannot be fetched: .*MLFLOW_TRACKING_URI"):
        publish(Path("models:/diagnosis/9"), floats())


SAVE = """
import sys, pandas, mlflow, numpy
frame = pandas.read_parquet(sys.argv[1])
truth = (frame.sum(axis=1) > 0).astype(int)
flavour, folder = sys.argv[2:]
if flavour == "xgboost":
    import xgboost
    mlflow.xgboost.save_model(xgboost.XGBClassifier(n_estimators=5).fit(frame, truth), folder)
elif flavour == "lightgbm":
    import lightgbm
    mlflow.lightgbm.save_model(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(frame, truth), folder)
elif flavour == "booster":
    import lightgbm
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(frame, truth)
    mlflow.lightgbm.save_model(model.booster_, folder)
elif flavour == "catboost":
    import catboost
    model = catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False)
    mlflow.catboost.save_model(model.fit(frame, truth), folder)
elif flavour == "pickle":
    from sklearn.linear_model import LogisticRegression
    mlflow.sklearn.save_model(LogisticRegression().fit(frame, truth), folder, serialization_format="cloudpickle")
elif flavour == "torch":
    import torch
    mlflow.pytorch.save_model(torch.nn.Linear(3, 1), folder, serialization_format="pickle")
elif flavour == "onnx":
    import skl2onnx
    from sklearn.linear_model import LogisticRegression
    graph = skl2onnx.to_onnx(LogisticRegression().fit(frame.to_numpy(), truth), frame.to_numpy(numpy.float32)[:1])
    mlflow.onnx.save_model(graph, folder)
"""


@pytest.mark.parametrize(
    ("flavour", "estimator"),
    [
        pytest.param("pickle", "sklearn.LogisticRegression"),
        pytest.param("xgboost", "xgboost.XGBClassifier", marks=installed("xgboost", "xgboost")),
        pytest.param("lightgbm", "lightgbm.LGBMClassifier", marks=installed("lightgbm", "lightgbm")),
        pytest.param("booster", "lightgbm.LGBMClassifier", marks=installed("lightgbm", "lightgbm")),
        pytest.param("catboost", "catboost.CatBoostClassifier", marks=installed("catboost", "catboost")),
        pytest.param("torch", "torch.Linear", marks=installed("torch", "torch", "onnxscript")),
        pytest.param("onnx", "onnx"),
    ],
)
def test_folders_of_every_flavour(tmp_path: Path, publish: Publish, flavour: str, estimator: str) -> None:
    floats().to_parquet(tmp_path / "frame.parquet")
    folder = tmp_path / "saved"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SAVE, "frame.parquet", flavour, str(folder)],
        capture_output=True, text=True, check=False, env={**os.environ, **QUIET}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert publish(folder, floats()).manifest.lineage["estimator"] == estimator


@pytest.mark.parametrize(
    ("flavours", "message"),
    [
        pytest.param({"python_function": {}}, "python_function, none of which can be converted", id="code"),
        pytest.param({"onnx": {"data": "../../model.onnx"}}, "which is not in its folder", id="outside"),
        pytest.param({"onnx": {"data": "missing.onnx"}}, "which is not in its folder", id="missing"),
    ],
)
def test_folders_that_hold_nothing(tmp_path: Path, publish: Publish, flavours: Any, message: str) -> None:
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours}))
    with pytest.raises(ConversionError, match=message):
        publish(tmp_path, floats())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("models:/a/3", "models:/a/3"),
        ("models:///a/3", "models:/a/3"),
        ("runs:/0123/model", "runs:/0123/model"),
        ("models/a.joblib", ""),
        ("C:/models", ""),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert mlflow_address(text) == address


def test_no_password_gets_into_a_manifest() -> None:
    assert _without_secrets("https://me:secret@tracking.example:8080/x") == "https://tracking.example:8080/x"
    assert _without_secrets("sqlite:///store.db") == "sqlite:///store.db"
