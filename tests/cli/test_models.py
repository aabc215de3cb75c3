"""``rapide models``: what is there, for people and for scripts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rapide.cli.main import main
from rapide.server.repository.labels import parse_changes
from rapide.server.repository.local import open_repository
from rapide.server.repository.publisher import publish
from rapide.server.repository.variant import Variant
from tests.server.repository.examples import Clock, bare_tree, builder, model_bytes

QUALITY = {"r2": 0.91234, "mae": 812.7, "rmse": 1.5, "max_error": 9.0, "rows": 300, "target": "price"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    for content in (b"one", b"two", b"three"):
        files = {"model.onnx": model_bytes(content), "weights": bytes(2_000_000)}
        publish(root, "car-price", files, builder("car-price", quality=QUALITY), now=Clock())
    bare_tree(root, "plain")
    open_repository(root).set_labels("car-price", parse_changes(["stable=2", "canary=3:10%", "beta=1"]), "ann")
    return root


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_table(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(models)]) == 0
    header, third, second, first, plain = lines(capsys)
    assert header.split() == ["model", "version", "labels", "size", "digest", "created", "quality", "variants"]
    digest = open_repository(models).scan().models["car-price"].versions[3].digest or ""
    assert re.split(" {2,}", third) == [
        "car-price", "3", "canary 10 %", "2.0 MB", digest[7:19], "2024-11-20 10:00",
        "r2 0.9123, mae 812.7, rmse 1.5",
    ]  # fmt: skip
    assert "stable 90 %" in second
    assert "beta  " in first
    assert plain.split() == ["plain", "1", "(default)", "11", "B", "–", "–"]


def test_one_model(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(models), "plain"]) == 0
    assert len(lines(capsys)) == 2


def test_problems_come_last_and_are_no_failure(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "broken.onnx").touch()
    assert main(["models", str(models)]) == 0
    assert lines(capsys)[-2:] == ["problems:", "  ✗ broken/1: broken.onnx: the file is empty"]
    assert main(["models", str(models), "plain"]) == 0
    assert "problems" not in capsys.readouterr().out


def test_a_model_that_is_nothing_but_a_problem(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "broken.onnx").touch()
    assert main(["models", str(models), "broken"]) == 0
    assert lines(capsys) == ["problems:", "  ✗ broken/1: broken.onnx: the file is empty"]


def test_for_scripts(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "broken.onnx").touch()
    assert main(["models", str(models), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == [{"model": "broken", "version": 1, "reason": "broken.onnx: the file is empty"}]
    car_price, plain = found["models"]
    assert car_price["labels"]["canary"]["weight_percent"] == 10
    assert car_price["unlabelled"] == [
        {"label": "stable", "version": 2, "percent": 90.0},
        {"label": "canary", "version": 3, "percent": 10.0},
    ]
    assert [version["version"] for version in car_price["versions"]] == [1, 2, 3]
    assert car_price["versions"][0]["quality"] == QUALITY
    assert plain["versions"][0]["digest"] is None


def test_a_bare_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(model_bytes())
    assert main(["models", str(tmp_path / "net.onnx")]) == 0
    assert lines(capsys)[1].split()[:2] == ["net", "1"]


def test_an_empty_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", str(tmp_path)]) == 0
    assert "There are no models" in capsys.readouterr().out


def test_without_a_path_the_setting_decides(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(models.parent)
    monkeypatch.delenv("RAPIDE_MODELS", raising=False)
    assert main(["models"]) == 0
    (models.parent / "empty").mkdir()
    monkeypatch.setenv("RAPIDE_MODELS", "empty")
    capsys.readouterr()
    assert main(["models"]) == 0
    assert "There are no models in empty" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["models", "nowhere"], "there is no repository at nowhere"),
        (["models", ".", "bike-price"], "there is no model 'bike-price'\n  Models there are: car-price, plain."),
        (["models", ".", "../car-price"], "there is no model '../car-price'"),
    ],
)
def test_mistakes(
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(models)
    assert main(arguments) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("command", ["models", "label", "which"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert f"examples:\n  rapide {command} " in shown
    assert "--json" in shown


def test_nothing_heavy_is_imported(models: Path) -> None:
    """Answers at once: no numpy, and nothing that draws tables unless somebody looks at them."""
    script = (
        "import sys; from rapide.cli.main import main; main(sys.argv[1:]); "
        "print(sorted({'numpy', 'rich', 'onnxruntime', 'asyncio'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, "models", str(models)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_variants_are_named_the_default_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variants = (Variant("original", "variants/original.onnx", False), Variant("int8", "model.onnx", True))
    files = {"model.onnx": model_bytes(b"small"), "variants/original.onnx": model_bytes()}
    publish(tmp_path, "m", files, builder("m", variants=variants))
    assert main(["models", str(tmp_path)]) == 0
    assert lines(capsys)[1].endswith("int8, original")
    assert main(["models", str(tmp_path), "--json"]) == 0
    (version,) = json.loads(capsys.readouterr().out)["models"][0]["versions"]
    assert [(each["name"], each["file"]) for each in version["variants"]] == [
        ("original", "variants/original.onnx"),
        ("int8", "model.onnx"),
    ]
