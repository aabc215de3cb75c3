"""``rapide tune`` and ``rapide plan`` before anything is measured: what is refused, and what is explained."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rapide.cli.main import main
from rapide.cli.tune import usable_cpus
from rapide.profiles.synthetic import synthetic
from rapide.server.machine import cpu_signature
from rapide.server.repository.digest import file_digest_text
from rapide.server.tuning_file import ModelTuning, TuningFile
from tests import models


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return models.repository(tmp_path / "models", {"m": {1: models.linear(), 2: models.linear(2.0)}})


def profile_of(path: Path, model: str = "m", requests: int = 200) -> str:
    document = json.loads(synthetic("steady", model=model, rate_per_s=100, duration_s=2).to_bytes())
    recent = document["models"][0]["arrivals"]["recent"]
    recent |= {name: recent[name][:requests] for name in ("offsets_us", "rows")}
    path.write_text(json.dumps(document))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is complained about; the exit code must say so, too."""
    assert main(arguments) == 1
    return " ".join(capsys.readouterr().err.split())


def test_what_cannot_be_tuned_is_told_before_anything_is_measured(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = profile_of(tmp_path / "profile.json")
    tune = ("tune", str(root), "m", "--tuning", str(tmp_path / "tuning"))
    slo = ("--slo", "p99<5ms")
    assert "--profile is missing" in said(capsys, *tune, *slo)
    assert "--slo is missing" in said(capsys, *tune, "--profile", good)
    assert "'p99>5ms' is no objective" in said(capsys, *tune, "--profile", good, "--slo", "p99>5ms")
    assert "has no version 7. It has 1, 2" in said(capsys, *tune, "--profile", good, *slo, "--version", "7")
    assert "there is no model 'x'" in said(capsys, "tune", str(root), "x", "--profile", good, *slo)
    assert "--cores is 4096" in said(capsys, *tune, "--profile", good, *slo, "--cores", "4096")
    nobody = said(capsys, *tune, "--profile", "http://127.0.0.1:9", *slo)
    assert "http://127.0.0.1:9/profile cannot be reached" in nobody
    missing = said(capsys, *tune, "--profile", str(tmp_path / "no.json"), *slo)
    assert "no.json: cannot be read: No such file" in missing
    other = profile_of(tmp_path / "other.json", model="other")
    assert "cannot be used for m" in said(capsys, *tune, "--profile", other, *slo)
    one = profile_of(tmp_path / "one.json", requests=1)
    assert "holds 1 arrival; at least 30 are needed" in said(capsys, *tune, "--profile", one, *slo)
    assert "there is no folder" in said(capsys, *tune, "--profile", good, *slo, "--html", f"{tmp_path}/no/r.html")
    assert not (tmp_path / "tuning").exists()


def test_a_profile_of_another_schema_or_none_at_all_is_told(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "profile.json"
    profile_of(path)
    for change, words in (({"schema": 9}, "schema"), ({"kind": "other"}, "kind"), ({"models": []}, "knows: none")):
        document = json.loads(path.read_bytes()) | change
        (tmp_path / "bad.json").write_text(json.dumps(document))
        arguments = ("tune", str(root), "m", "--profile", str(tmp_path / "bad.json"), "--slo", "p99<5ms")
        assert words in said(capsys, *arguments)
    (tmp_path / "bad.json").write_text("{")
    assert "JSON" in said(capsys, *arguments)


def test_plan_needs_a_rate_that_makes_sense(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ("plan", str(root), "m", "--profile", profile_of(tmp_path / "p.json"), "--slo", "p99<5ms")
    assert "--rate -1" in said(capsys, *plan, "--rate", "-1")
    assert "--rate inf" in said(capsys, *plan, "--rate", "inf")
    assert "--headroom 1" in said(capsys, *plan, "--rate", "1e6", "--headroom", "1")


def test_explain_says_why_or_that_there_is_nothing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explain = ("tune", str(root), "m", "--explain", "--tuning", str(tmp_path))
    assert "m/2 is not tuned for this machine" in said(capsys, *explain)
    cpu = cpu_signature(len(usable_cpus(0)))
    digest = file_digest_text(root / "m/2/model.onnx")
    evidence = {
        "objective": "latency",
        "reasons": [{"choice": "max_rows_per_run = 64", "why": "p99 2 ms as chosen, 5 ms with 0"}],
        "measured": [{"configuration": "2 workers, the defaults", "rounds": [{"p99_ms": 5.0}, {"p99_ms": None}]}],
        "notes": ["This machine was busy."],
    }
    path = tmp_path / cpu / f"{digest.removeprefix('sha256:')}.json"
    path.parent.mkdir()
    file = TuningFile(cpu, digest, "m", 1, ModelTuning(max_rows_per_run=64), 2, slo="p99<5ms", evidence=evidence)
    path.write_bytes(file.to_bytes())
    assert main(explain) == 0
    text = capsys.readouterr().out
    for words in ("max_rows_per_run = 64: p99 2 ms as chosen", "  5.000 never", "busy", str(path)):
        assert words in text
    assert main([*explain, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == 1
    path.write_text(path.read_text().replace('"rounds"', '"round"'))
    assert "cannot be explained: its evidence was damaged. Tune again." in said(capsys, *explain)
    path.write_text("{")
    assert "cannot be read" in said(capsys, *explain)


def test_cores_are_the_first_usable_ones() -> None:
    assert usable_cpus(1) == tuple(sorted(os.sched_getaffinity(0)))[:1]
