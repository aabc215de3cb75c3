"""``rapide which``: questions about the past, asked at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rapide.cli.main import main
from rapide.server.repository.labels import parse_changes
from rapide.server.repository.local import LocalRepository
from tests.server.repository.examples import Clock, published


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Published at 10:00 and 11:00; stable=1 at 11:00 with a canary, stable=2 at 12:00."""
    clock = Clock()
    published(tmp_path, "car-price", b"one", now=clock)
    clock.move(hours=1)
    published(tmp_path, "car-price", b"two", now=clock)
    repository = LocalRepository(tmp_path, now=clock)
    repository.set_labels("car-price", parse_changes(["stable=1", "canary=2:10%"]), "ann", "try it")
    clock.move(hours=1)
    repository.set_labels("car-price", parse_changes(["stable=2", "canary=-"]), "bob", "it is good")
    monkeypatch.setenv("RAPIDE_MODELS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("at", "answer"),
    [
        ("2024-11-20T09:00Z", "note: no version is known to have been published by then"),
        ("2024-11-20T10:30Z", "known by then: 1"),
        ("2024-11-20T11:30Z", "requests that name no label: 90 % version 1, 10 % version 2"),
        ("2024-11-20T12:30+01:00", "requests that name no label: 90 % version 1, 10 % version 2"),
        ("2024-11-20 12:30", "requests that name no label: 100 % version 2"),
    ],
)
@pytest.mark.usefixtures("models")
def test_then(at: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["which", "car-price", "--at", at]) == 0
    assert answer in capsys.readouterr().out


@pytest.mark.usefixtures("models")
def test_who_had_decided(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["which", "car-price", "--at", "2024-11-20T11:30Z", "--label", "canary"]) == 0
    title, _, row = capsys.readouterr().out.splitlines()
    assert title == "car-price at 2024-11-20T11:30:00Z"
    assert row.split()[:4] == ["canary", "2", "10", "%"]
    assert row.endswith("2024-11-20T11:00:00Z  ann  try it")


@pytest.mark.usefixtures("models")
def test_now(capsys: pytest.CaptureFixture[str]) -> None:
    """The last change of the example lies before any run of this test."""
    assert main(["which", "car-price", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"]["stable"]["version"] == 2
    assert found["labels"]["stable"]["who"] == "bob"


def test_another_repository(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDE_MODELS", "nowhere")
    assert main(["which", "car-price", "--models", str(models)]) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["bike-price"], "there is no model 'bike-price'\n  Models there are: car-price."),
        (["car-price", "--label", "canary"], "had no label 'canary' at"),
        (["car-price", "--at", "2024-11-20", "--label", "stable"], "Labels then: none."),
        (["car-price", "--models", "nowhere"], "there is no repository at nowhere"),
    ],
)
@pytest.mark.usefixtures("models")
def test_mistakes(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["which", *arguments]) == 1
    assert complaint in capsys.readouterr().err


@pytest.mark.usefixtures("models")
def test_what_is_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["which", "car-price", "--at", "noon"])
    assert left.value.code == 2
    assert "'noon' is no time; write 2026-11-20T10:00Z for example" in capsys.readouterr().err
