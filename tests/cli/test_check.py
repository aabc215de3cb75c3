"""``rapide check``: notes, problems, exit codes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rapide.cli import check
from rapide.cli.main import main
from rapide.server.cores import Cores
from rapide.server.machine import read_machine


@pytest.fixture(autouse=True)
def quiet_ports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever else runs on this machine: any free port will do."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP", "GRPC", "METRICS"):
        monkeypatch.setenv(f"RAPIDE_{name}_PORT", "0")


@pytest.fixture
def taken() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield other.getsockname()[1]


def put(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    machine = replace(read_machine(), **changes)  # type: ignore[arg-type] # fields of Machine
    monkeypatch.setattr(check, "read_machine", lambda: machine)


def test_a_fine_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    shown = capsys.readouterr().out
    assert "Nothing stands in the way" in shown
    assert "would use" in shown
    assert "CPUExecutionProvider" in shown


def test_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert found["machine"]["cores"]["affinity"] >= 1
    assert {finding["topic"] for finding in found["findings"]} >= {"processor", "cores", "would use", "http_port"}


def test_a_port_in_use(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], taken: int) -> None:
    monkeypatch.setenv("RAPIDE_GRPC_PORT", str(taken))
    assert main(["check"]) == 1
    shown = capsys.readouterr().out
    assert f"port {taken} (grpc_port) is in use" in shown
    assert "one problem" in shown


def test_a_certificate_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAPIDE_TLS_CERT_FILE", "no.pem")
    monkeypatch.setenv("RAPIDE_TLS_KEY_FILE", "no.key")
    assert main(["check"]) == 1
    assert "tls_cert_file: no.pem: No such file" in capsys.readouterr().out


def test_a_wrong_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RAPIDE_WORKRES", "2")
    assert main(["check"]) == 1
    assert "Did you mean RAPIDE_WORKERS?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"cores": Cores(8, 1.5, 2**30)}, 0, ["1.5 cores", "Only whole cores are used", "1 worker: the control"]),
        ({"open_files": 1024}, 0, ["· open files", "ulimit -n 4096"]),
        ({"shared_memory_bytes": None}, 0, ["· shared mem.", "--shm-size"]),
        ({"reuse_port": False}, 1, ["✗ shared ports", "SO_REUSEPORT does not work"]),
        (
            {"flags": frozenset(), "architecture": "x86_64"},
            0,
            ["none that matter", "Without avx2", "no int8 variants"],
        ),
        ({"is_compiled": False}, 0, ["· hot path", "interpreted", "apt install gcc python3-dev"]),
        ({"is_compiled": True}, 0, ["  hot path", "compiled"]),
        ({"libraries": {"onnxruntime": None}}, 1, ["✗ onnxruntime", "pip install onnxruntime"]),
    ],
)
def test_what_is_said_about_a_machine(
    changes: dict[str, object],
    code: int,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(monkeypatch, **changes)
    assert main(["check"]) == code
    shown = capsys.readouterr().out
    for word in words:
        assert word in shown


def test_too_many_workers_are_noted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RAPIDE_WORKERS", "4")
    put(monkeypatch, cores=Cores(2, None, 2**34))
    assert main(["check"]) == 0
    assert "more than the usable cores" in capsys.readouterr().out
