"""The table of settings: bounds, reasons, and values that travel."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rapide.server.errors import SettingsError
from rapide.server.settings import BY_NAME, SPECS, Settings, SettingSpec, check_together, ports_of


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_setting_explains_itself(spec: SettingSpec) -> None:
    spec.check(spec.default, "default")
    assert spec.help
    assert spec.reason
    assert not spec.help.endswith("."), "a help text is a phrase"
    suffixes = {"s": "_s", "µs": "_us", "bytes": "_bytes", "rows": "_rows", "": ""}
    assert spec.name.endswith(suffixes[spec.unit]), "the unit belongs in the name"


def test_settings_survive_the_way_to_a_worker() -> None:
    settings = Settings(control="explicit", load=("a", "b"), drain_s=1.5, shared_memory=False)
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_flags_and_variables_follow_the_name() -> None:
    assert BY_NAME["http_port"].flag == "--http-port"
    assert BY_NAME["http_port"].variable == "RAPIDE_HTTP_PORT"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("http_port", 65536, "x: http_port is 65536; it must be between 0 and 65535."),
        ("control", "poll", "x: control is 'poll'; it must be one of watch, explicit, none."),
        ("trace_rate", float("nan"), "x: trace_rate is nan; it must be between 0 and 1."),
    ],
)
def test_a_value_out_of_bounds_is_named(name: str, value: float | str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        BY_NAME[name].check(value, "x")
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"http_port": 8001}, "http_port and grpc_port are both 8001"),
        ({"max_queue_rows": 8}, "max_queue_rows (8) is below max_batch_rows (64)"),
        ({"load": ("a",)}, "control is watch"),
        ({"tls_cert_file": "c"}, "tls_cert_file is set, but tls_key_file is not"),
        ({"tls_key_file": "k"}, "tls_key_file is set, but tls_cert_file is not"),
        ({"tls_client_ca_file": "a"}, "tls_client_ca_file is set, but tls_cert_file is not"),
        ({"grpc_socket": "s", "grpc_engine": "grpcio"}, "grpc_socket is set, and grpc_engine is grpcio"),
        ({"http_socket": "s", "http_engine": "uvicorn"}, "http_socket is set, and http_engine is uvicorn"),
        ({"one_port": True, "grpc_engine": "grpcio"}, "one_port is set, and grpc_engine is grpcio"),
        (
            {"one_port": True, "grpc_engine": "lane", "http_engine": "uvicorn"},
            "one_port is set, and http_engine is uvicorn",
        ),
        (
            {"http_socket": "s", "grpc_socket": "s", "grpc_engine": "lane", "http_engine": "lane"},
            "http_socket and grpc_socket are both s",
        ),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_together(dataclasses.replace(Settings(), **changes))  # type: ignore[arg-type] # values of the table
    assert words in caught.value.message
    assert caught.value.hint


def test_any_number_of_ports_may_be_left_to_the_system() -> None:
    check_together(Settings(http_port=0, grpc_port=0, metrics_port=0))


def test_one_port_leaves_the_other_ports_number_free() -> None:
    settings = Settings(one_port=True, http_port=8001, grpc_engine="lane", http_engine="lane")
    check_together(settings)
    assert ports_of(settings) == {"http_port": 8001, "metrics_port": 8002}
