"""``rapide label``: changes, their log, and refusals that say what to do."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from rapide.cli.main import main
from rapide.server.repository.local import open_repository
from tests.server.repository.examples import model_bytes, published


@pytest.fixture
def models(tmp_path: Path) -> str:
    for content in (b"one", b"two", b"three"):
        published(tmp_path, "car-price", content)
    return str(tmp_path)


def meanings(models: str) -> dict[str, tuple[int, float | None]]:
    labels = open_repository(Path(models)).labels("car-price")
    return {label: (target.version, target.weight_percent) for label, target in labels.items()}


def test_a_change_and_what_follows_from_it(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", models, "car-price", "stable=2", "canary=3:10%", "--why", "try it"]) == 0
    assert meanings(models) == {"stable": (2, None), "canary": (3, 10.0)}
    title, header, canary, stable, answers = capsys.readouterr().out.splitlines()
    assert title.startswith("car-price at ")
    assert header.split() == ["label", "version", "share", "digest", "since", "who", "why"]
    assert canary.split()[:4] == ["canary", "3", "10", "%"]
    assert stable.split()[:4] == ["stable", "2", "90", "%"]
    assert stable.endswith("try it")
    assert answers == "requests that name no label: 90 % version 2, 10 % version 3"


def test_who_it_was(models: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    main(["label", models, "car-price", "stable=1", "--who", "ann"])
    monkeypatch.setattr(getpass, "getuser", lambda: "bob")
    main(["label", models, "car-price", "stable=2"])
    monkeypatch.setattr(getpass, "getuser", nameless)
    main(["label", models, "car-price", "stable=3"])
    first, second, third = open_repository(Path(models)).history("car-price").entries
    assert first.who == "ann"
    assert second.who.startswith("bob@")
    assert third.who.startswith("user ")


def test_showing_without_changing(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", models, "car-price"]) == 0
    assert "requests that name no label: 100 % version 3" in capsys.readouterr().out
    assert meanings(models) == {}


def test_history(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", models, "car-price", "--history"]) == 0
    assert capsys.readouterr().out == "No label was ever set.\n"
    main(["label", models, "car-price", "stable=2", "canary=3:0.5%", "--who", "ann", "--why", "try it"])
    main(["label", models, "car-price", "canary=-", "--who", "bob"])
    log = Path(models, "car-price", "activations.jsonl")
    log.write_bytes(log.read_bytes() + b"half a li")
    capsys.readouterr()
    assert main(["label", models, "car-price", "--history"]) == 0
    header, first, second, problem = capsys.readouterr().out.splitlines()
    assert header.split() == ["time", "change", "who", "why"]
    assert first.split()[1:] == ["canary=3:0.5%,", "stable=2", "ann", "try", "it"]
    assert second.split()[1:] == ["canary=-", "bob"]
    assert problem == "  ✗ line 3 is passed over: it was not written to its end"


def test_for_scripts(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", models, "car-price", "stable=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unlabelled"] == [
        {"label": "stable", "version": 2, "percent": 100.0}
    ]
    assert main(["label", models, "car-price", "--history", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["labels"]["stable"]["version"] == 2


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (["stable=9"], "there is no such version\n  Versions here: 1, 2, 3."),
        (["canary=3:10%"], "90 % of the requests would belong to no label\n  Set stable as well"),
        (["stable=1", "canary=3:110%"], "the shares add up to 110 %"),
        (["stable"], "'stable' is no change of a label\n  Write stable=2"),
        (["canary=-"], "label 'canary' is not set"),
    ],
)
def test_refusals(models: str, capsys: pytest.CaptureFixture[str], changes: list[str], complaint: str) -> None:
    assert main(["label", models, "car-price", *changes]) == 1
    assert complaint in capsys.readouterr().err
    assert meanings(models) == {}


def test_an_unknown_model(models: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["label", models, "bike-price", "stable=1"]) == 1
    assert "there is no model 'bike-price'\n  Models there are: car-price." in capsys.readouterr().err


def test_a_bare_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(model_bytes())
    assert main(["label", str(tmp_path), "net", "stable=1"]) == 1
    assert "Lay it out as net/1/model.onnx" in capsys.readouterr().err
