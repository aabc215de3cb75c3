"""Flags, environment and file: precedence, types, and errors that name the source."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import SettingsError
from rapide.server.settings import SPECS, Settings, SettingSpec
from rapide.server.settings_sources import load, parse_text


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    assert load({}, {}, folder=tmp_path) == Settings()


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    (tmp_path / "rapide.toml").write_text("http_port = 1\ngrpc_port = 2\nmetrics_port = 3\ngrace_s = 4\n")
    environment = {"RAPIDE_HTTP_PORT": "11", "RAPIDE_GRPC_PORT": "12", "PATH": "/bin"}
    settings = load({"http_port": "21"}, environment, folder=tmp_path)
    assert (settings.http_port, settings.grpc_port, settings.metrics_port) == (21, 12, 3)
    assert settings.grace_s == 4.0
    assert isinstance(settings.grace_s, float)


def test_a_named_file_is_read_instead_of_the_default_one(tmp_path: Path) -> None:
    (tmp_path / "rapide.toml").write_text("workers = 1\n")
    (tmp_path / "other.toml").write_text('load = ["a", "b"]\ncontrol = "explicit"\n')
    for settings in (
        load({}, {}, config=str(tmp_path / "other.toml"), folder=tmp_path),
        load({}, {"RAPIDE_CONFIG": str(tmp_path / "other.toml")}, folder=tmp_path),
    ):
        assert (settings.workers, settings.load) == (0, ("a", "b"))


@pytest.mark.parametrize("text", ["1", "true", "YES", " on "])
def test_words_for_true(text: str) -> None:
    assert load({}, {"RAPIDE_SPINNING": text}, folder=Path("/nonexistent")).spinning is True


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("RAPIDE_SERVICE_HOST", "10.0.0.1"),
        ("RAPIDE_SERVICE_PORT", "8000"),
        ("RAPIDE_SERVICE_PORT_GRPC", "8001"),
        ("RAPIDE_PORT", "tcp://10.0.0.1:8000"),
        ("RAPIDE_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("RAPIDE_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("RAPIDE_HTTP_PORT", "tcp://10.0.0.1:8000"),
        ("RAPIDE_CANARY_SERVICE_HOST", "10.0.0.1"),
        ("RAPIDE_DEBUG", "1"),
    ],
)
def test_variables_that_kubernetes_injects_are_no_settings(variable: str, text: str, tmp_path: Path) -> None:
    assert load({}, {variable: text}, folder=tmp_path) == Settings()


@pytest.mark.parametrize(
    ("flags", "environment", "file", "words"),
    [
        (
            {},
            {"RAPIDE_HTPP_PORT": "1"},
            "",
            ["RAPIDE_HTPP_PORT is not", "mean RAPIDE_HTTP_PORT"],
        ),
        ({}, {"RAPIDE_ZZZ": "1"}, "", ["RAPIDE_ZZZ is not a setting", "docs/reference/settings.md"]),
        ({}, {"RAPIDE_WORKERS": "two"}, "", ["RAPIDE_WORKERS: workers is 'two'", "a whole number", "between 0"]),
        ({}, {"RAPIDE_SPINNING": "maybe"}, "", ["RAPIDE_SPINNING", "true or false"]),
        ({"grace_s": "soon"}, {}, "", ["--grace-s: grace_s is 'soon'", "a number of s"]),
        ({"workers": "-1"}, {}, "", ["--workers: workers is -1", "between 0 and 512"]),
        ({}, {}, "http-port = 1", ["'http-port' is not a setting", "Did you mean http_port"]),
        ({}, {}, "[server]\nworkers = 1", ["'server' is not a setting"]),
        ({}, {}, 'workers = "2"', ["workers is '2'", "a whole number"]),
        ({}, {}, "workers = true", ["workers is True", "a whole number"]),
        ({}, {}, "load = [1]", ["load is [1]", "a list of names"]),
        ({}, {}, "workers = ", ["not valid TOML"]),
        ({}, {}, 'control = "poll"', ["control is 'poll'", "watch, explicit, none"]),
    ],
)
def test_errors_name_the_setting_its_source_and_a_way_out(
    flags: dict[str, str], environment: dict[str, str], file: str, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "rapide.toml").write_text(file)
    with pytest.raises(SettingsError) as caught:
        load(flags, environment, folder=tmp_path)
    for word in words:
        assert word in str(caught.value)
    if file:
        assert "rapide.toml" in caught.value.message


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: No such file"):
        load({}, {}, config=str(tmp_path / "none.toml"))


@given(spec=st.sampled_from(SPECS), text=st.text())
def test_any_text_is_a_value_or_a_settings_error(spec: SettingSpec, text: str) -> None:
    try:
        value = parse_text(spec, text, "x")
    except SettingsError:
        return
    assert type(value) is spec.kind
