"""``rapide serve``: flags become settings; mistakes are told before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rapide.cli import serve
from rapide.cli.main import main
from rapide.server.settings import SPECS, Settings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Settings]:
    """Settings that would have been served under."""
    found: list[Settings] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serve, "serve", lambda settings: found.append(settings) or 0)
    return found


def test_without_flags_the_defaults_serve(served: list[Settings]) -> None:
    assert main(["serve"]) == 0
    assert served == [Settings()]


def test_every_setting_has_a_flag(served: list[Settings]) -> None:
    values = {
        "models": "m.onnx",
        "control": "explicit",
        "version_policy": "all",
        "load": "a,b",
        "host": "::1",
        "log_format": "json",
        "log_level": "debug",
        "otlp_endpoint": "http://c:4317",
        "state_dir": "/tmp/x",
    }
    arguments = ["serve", values.pop("models")]
    expected: dict[str, object] = {"models": "m.onnx"}
    for spec in SPECS:
        if spec.name == "models":
            continue
        if spec.kind is bool:
            arguments.append(f"--no-{spec.flag[2:]}" if spec.default else spec.flag)
            expected[spec.name] = not spec.default
        else:
            text = values.get(spec.name) or str(spec.kind(spec.default) if spec.default else 1)  # type: ignore[call-arg]
            arguments += [spec.flag, text]
            expected[spec.name] = ("a", "b") if spec.kind is tuple else spec.kind(text)  # type: ignore[call-arg]
    assert main(arguments) == 0
    assert served == [replace(Settings(), **expected)]  # type: ignore[arg-type] # values of the table


def test_a_file_is_read(served: list[Settings], tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("workers = 3\n")
    assert main(["serve", "--config", "server.toml", "--threads", "2"]) == 0
    assert (served[0].workers, served[0].threads) == (3, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--http-port", "x"], "--http-port: http_port is 'x'; it must be a whole number"),
        (["--control", "poll"], "it must be one of watch, explicit, none"),
        (["--config", "missing.toml"], "missing.toml: No such file"),
        (["--http-port", "8001"], "http_port and grpc_port are both 8001"),
    ],
)
def test_mistakes_are_told_in_words(
    arguments: list[str], said: str, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *arguments]) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert served == []
