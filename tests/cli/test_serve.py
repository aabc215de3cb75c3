"""``rapide serve``: flags become settings; mistakes are told before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapide.cli import serve
from rapide.cli.main import build_parser, main
from rapide.server.settings import SPECS, Settings, SettingSpec
from rapide.server.settings_sources import parse_text


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


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.name != "models"], ids=lambda spec: spec.name)
def test_every_setting_has_a_flag(spec: SettingSpec) -> None:
    if spec.kind is bool:
        flags = [f"--no-{spec.flag[2:]}" if spec.default else spec.flag]
        expected: object = not spec.default
    else:
        flags = [spec.flag, spec.choices[-1] if spec.choices else str(int(max(1, spec.minimum or 0)))]
        expected = ("1",) if spec.kind is tuple else spec.kind(flags[1])  # type: ignore[call-arg] # not Any
    args = build_parser(["serve"]).parse_args(["serve", *flags])
    (given,) = serve.given_flags(args).items()
    assert given[0] == spec.name
    assert parse_text(spec, given[1], spec.flag) == expected


def test_the_models_need_no_flag(served: list[Settings]) -> None:
    assert main(["serve", "some.onnx"]) == 0
    assert served == [Settings(models="some.onnx")]


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
