"""What a tuning and a plan say: on a terminal, on a page, and while they work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rapide.cli import tune as cli
from rapide.cli.plan import lines
from rapide.server.errors import SettingsError
from rapide.server.tuning_file import ModelTuning, TuningFile
from rapide.tuning.capacity import plans
from rapide.tuning.configuration import Configuration
from rapide.tuning.found import Found, setting_of
from rapide.tuning.knobs import Knobs
from rapide.tuning.proof import Measured, Proof
from rapide.tuning.report import page
from rapide.tuning.search import judge
from rapide.tuning.tune import evidence
from tests.tuning.curves_of import curve_of
from tests.tuning.found_of import DEFAULT, found_of

CHOSEN = Configuration(1, ModelTuning(intra_op_threads=2, max_batch_rows=32))


@pytest.fixture
def tuned(tmp_path: Path) -> Found:
    """The default at 4 ms, and what was chosen at 2."""
    one = found_of(tmp_path, "p99<5ms")
    one.curves.append(curve_of(lambda rows: 20.0 * rows, Knobs(threads=2)))
    one.candidates = [judge(each, setting_of(one)) for each in (CHOSEN, DEFAULT)]
    one.proofs.append(Proof(CHOSEN, (Measured(np.full(100, 0.002), 0.1, 1, ""),) * 2))
    one.chosen, one.simulated = CHOSEN, 240
    one.reasons = [("max_batch_rows = 32", "rows run together: p99 2 ms as chosen, 3 ms with 64")]
    one.notes = ["This machine was busy."]
    return one


def test_the_summary_puts_prediction_and_measurement_side_by_side(tuned: Found) -> None:
    said = "\n".join(cli.summary(tuned, 61.0))
    assert "m/1: 240 configurations simulated, 2 proven, in 61 s" in said
    chosen = next(line for line in said.splitlines() if line.strip().startswith("chosen ") and "holds" in line)
    predicted = tuned.candidates[0].percentile_s(99)
    assert f"{predicted * 1e6:.0f}" in chosen or f"{predicted * 1e3:.3g} ms" in chosen
    assert "2 ms" in chosen
    assert chosen.endswith(CHOSEN.words)
    assert "max_batch_rows = 32: rows run together" in said
    assert "note:     This machine was busy." in said


def test_the_page_has_curves_front_and_latencies(tuned: Found) -> None:
    html = page(tuned).html()
    for words in (
        "Tuning of m/1",
        "Predicted and measured",
        "What a run costs",
        "Latency against cost",
        "Pareto front",
        "model.onnx, 2 threads",
        "240 configurations",
        "This machine was busy.",
    ):
        assert words in html
    assert html.count("<svg") == 3


def test_the_explanation_compares_each_replay_with_what_was_simulated(tuned: Found, tmp_path: Path) -> None:
    told = json.loads(json.dumps(evidence(tuned)))
    file = TuningFile("cpu", "sha256:ab", "m", 1, CHOSEN.tuning, 1, slo="p99<5ms", evidence=told)
    said = cli.explanation(file, tmp_path)
    _, line = [line for line in said if line.endswith(CHOSEN.words)]
    simulated_ms = tuned.candidates[0].percentile_s(99) * 1e3
    assert line.split()[:3] == [f"{simulated_ms:.3f}", "2.000", "2.000"]
    assert "p99 in ms, simulated and of each replay" in said
    at_median = cli.explanation(replace(file, slo="p50<5ms"), tmp_path)
    assert "p50 in ms, simulated and of each replay" in at_median


def test_a_plan_states_its_head_room(tuned: Found) -> None:
    found = plans(setting_of(tuned), 50_000, lambda *_: None)
    said = "\n".join(lines(found, 50_000, tuned.request, 0.3))
    assert "m/1 at 50,000 requests/s, p99<5ms,errors<0.1%, replicas of 2 cores" in said
    assert "a replica gets at most 70% of what it bears" in said
    assert f"{found[0].replicas:,}" in said


def test_who_has_no_terminal_sees_lines_and_not_too_many(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, now_s = cli.Progress(quiet=False), iter([0.0, 1.0, 11.0])
    monkeypatch.setattr(cli.time, "monotonic", lambda: next(now_s))
    for text, share in (("looking", 0.0), ("measuring", 0.1), ("simulating", 0.6)):
        progress(text, share)
    progress.note("this machine is busy.")
    assert capsys.readouterr().err.splitlines() == [
        "  0% looking",
        " 60% simulating",
        "note: this machine is busy.",
    ]


def test_scripts_hear_nothing_while_it_works(capsys: pytest.CaptureFixture[str]) -> None:
    with cli.Progress(quiet=True) as progress:
        progress("looking", 0.0)
        progress.note("this machine is busy.")
    assert capsys.readouterr().err == ""


def test_files_are_written_where_a_server_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert cli.tuning_folder(None) == Path("/state/rapide/tuning")
    (tmp_path / "rapide.toml").write_text('tuning = "here"\n')
    assert cli.tuning_folder(None) == Path("here")
    monkeypatch.setenv("RAPIDE_TUNING", "there")
    assert cli.tuning_folder(None) == Path("there")
    assert cli.tuning_folder("named") == Path("named")
    monkeypatch.setenv("RAPIDE_TUNING", "off")
    with pytest.raises(SettingsError, match="the setting tuning is off here"):
        cli.tuning_folder(None)
