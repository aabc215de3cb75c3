"""Converting imports what a model needs and nothing else: a machine with every framework on it does not wait for
them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.converters.material import floats, saved, two_classes

FRAMEWORKS = ("catboost", "keras", "lightgbm", "mlflow", "tensorflow", "torch", "transformers", "xgboost")
PARENT_DOES_WITHOUT = (*FRAMEWORKS, "numpy", "onnx", "onnxruntime", "pandas", "sklearn", "skl2onnx")
NOTE = """
import sys
name = next((word.rpartition(".")[2] for word in sys.orig_argv if word.startswith("rapide.converters.")
             and not word.endswith(".child")), "parent" if "convert" in sys.orig_argv else "trial")
seen = set()
file = open(FOLDER + "/" + name, "a", buffering=1)
def note(event, arguments):
    if event == "import":
        top = arguments[0].partition(".")[0]
        if top not in seen:
            seen.add(top)
            file.write(top + chr(10))
sys.addaudithook(note)
"""
"""Written at every first import, for children are ended without a chance to say anything."""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """By process: the top-level modules that a whole conversion imports."""
    folder = tmp_path_factory.mktemp("light")
    frame = floats()
    model, sample = saved(folder, make_pipeline(StandardScaler(), LogisticRegression()), frame, two_classes(frame))
    hook = folder / "hook"
    hook.mkdir()
    noted = folder / "noted"
    noted.mkdir()
    (hook / "sitecustomize.py").write_text(NOTE.replace("FOLDER", repr(str(noted))))
    path = os.pathsep.join([str(hook), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "rapide", "convert", str(model), "--name", "subject"),
            *("--sample", str(sample), "--to", str(folder / "models"), "--json"),
        ],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {file.name: set(file.read_text().split()) for file in noted.iterdir()}


def test_all_processes_were_seen(modules: dict[str, set[str]]) -> None:
    assert modules.keys() == {"parent", "original", "examine", "trial"}
    assert "sklearn" in modules["original"]
    assert "onnxruntime" in modules["examine"]


@pytest.mark.parametrize("process", ["original", "examine", "trial"])
def test_no_framework_is_imported_that_the_model_does_not_need(modules: dict[str, set[str]], process: str) -> None:
    assert modules[process].isdisjoint(FRAMEWORKS)


def test_the_process_that_never_sees_the_model_needs_no_scikit_learn(modules: dict[str, set[str]]) -> None:
    assert modules["examine"].isdisjoint({"sklearn", "skl2onnx", "pandas"})


def test_the_command_itself_stays_light(modules: dict[str, set[str]]) -> None:
    assert modules["parent"].isdisjoint(PARENT_DOES_WITHOUT)
