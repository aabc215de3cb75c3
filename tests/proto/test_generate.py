"""The generator: what is committed is what the ``.proto`` files say, and its interfaces are true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rapide import proto
from rapide.proto import generate

ROOT = Path(__file__).resolve().parents[2]


def protos_script(root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run([root / "scripts/protos", "--check"], env=environment, capture_output=True, text=True)


def test_what_is_committed_is_up_to_date() -> None:
    done = protos_script(ROOT)
    assert done.returncode == 0, done.stderr


def test_check_names_what_is_out_of_date_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    health = tmp_path / "proto/health.proto"
    health.write_text(
        health.read_text(encoding="utf-8").replace("HealthListRequest", "HealthListQuery"), encoding="utf-8"
    )
    before = (tmp_path / "proto/generated/health_pb2.py").read_bytes()
    monkeypatch.setattr(generate, "__file__", str(tmp_path / "proto/generate.py"))
    assert generate.main(["--check"]) == 1
    assert "health_pb2.py, health_pb2.pyi" in capsys.readouterr().err
    assert (tmp_path / "proto/generated/health_pb2.py").read_bytes() == before
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_a_broken_proto_is_an_error_that_says_where(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    (tmp_path / "proto/health.proto").write_text('syntax = "proto3";\nmessage {', encoding="utf-8")
    with pytest.raises(SystemExit):
        generate.parse(tmp_path / "proto")
    assert "health.proto:2" in capfd.readouterr().err


@pytest.mark.parametrize("name", proto.__all__)
def test_the_interface_names_what_the_module_has(name: str) -> None:
    module = getattr(proto, name)
    text = (ROOT / f"proto/generated/{name}.pyi").read_text(encoding="utf-8")
    for attribute in re.findall(r"^(?:class )?(\w+)[:(]", text, flags=re.M):
        assert hasattr(module, attribute), attribute
    for message in module.DESCRIPTOR.message_types_by_name.values():
        for field in message.fields:
            assert re.search(rf"^    {field.name}: ", text, flags=re.M), field.full_name


def test_an_unknown_module_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_pb2"):
        proto.no_such_pb2  # noqa: B018 - reading it is the test
