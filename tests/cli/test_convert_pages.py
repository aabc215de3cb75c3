"""The pages of ``rapide convert --html`` and ``rapide optimise --html``, opened in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rapide.cli import convert as convert_command
from rapide.cli.main import main
from rapide.converters.convert import convert
from rapide.converters.options import ConvertOptions
from tests.browser import Seen, look_at
from tests.converters.in_process import InProcess, trial_in_process
from tests.converters.material import TARGET, cars, floats, saved, two_classes
from tests.converters.test_planted_errors import edited, scale_wrongly


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forest, converted and optimised by the command: ``convert.html``, ``optimise.html``, and their outputs."""
    folder = tmp_path_factory.mktemp("pages")
    rows = floats()
    model, sample = saved(folder, RandomForestClassifier(8, random_state=0), rows, two_classes(rows))
    models = str(folder / "models")
    command = ["convert", str(model), "--name", "forest", "--sample", str(sample), "--to", models]
    options = ["--target", TARGET, "--description", "Which of two. <script>alert(1)</script>", "--optimise"]
    assert main([*command, *options, "--html", str(folder / "convert.html")]) == 0
    limits = ["--keep", "offline", "--html", str(folder / "optimise.html"), "--sizes", "1,16"]
    assert main(["optimise", models, "forest", "--rows", str(sample), *limits]) == 0
    return folder


def check(seen: Seen) -> None:
    assert seen.fetched == []
    assert seen.overflow <= 0
    assert seen.plots
    for width, height in seen.plots:
        assert width > 300
        assert height > 100


def test_what_was_converted(folder: Path, tmp_path: Path) -> None:
    seen = look_at(folder / "convert.html", tmp_path)
    check(seen)
    assert seen.title == "forest version 1"
    assert "Which of two. <script>alert(1)</script>" in seen.text
    wanted = {"What was converted", "Proofs", "Speed", "Optimised", "Why", "Where it came from"}
    assert wanted <= set(seen.headings)
    assert any(heading.startswith("Parity, float32: the graph answers") for heading in seen.headings)
    gates = next(table for table in seen.tables if table[0][0] == "gate")
    assert {row[0] for row in gates[1:]} >= {"graph", "parity", "quality", "speed", "trial"}
    assert {row[4] for row in gates[1:]} == {"passed"}
    counts = next(table for table in seen.tables if table[0][:3] == ["rows", "number", "output"])
    assert {row[0] for row in counts[1:]} >= {"real rows", "on split thresholds"}
    assert {row[-1] for row in counts[1:]} == {"0"}


@pytest.mark.parametrize(
    ("more", "gate", "verdicts"),
    [
        pytest.param(
            ("--metric", "accuracy", "--hurdle", "1.5"),
            "quality",
            ["passed", "passed", "passed", "passed", "refused", "passed", "not reached"],
            id="quality",
        ),
        pytest.param(
            ("--baseline", "none", "--max-latency-us", "0.001"),
            "speed",
            ["passed", "passed", "passed", "refused", "not reached"],
            id="speed",
        ),
    ],
)
def test_what_was_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
    gate: str,
    verdicts: list[str],
) -> None:
    seen, report = refused(tmp_path, capsys, monkeypatch, InProcess(), *more)
    assert report["gate"] == gate
    assert report["report"]["chosen"] == "float32"
    assert [attempt["passed"] for attempt in report["report"]["attempts"]] == [True]
    assert seen.title == f"m: refused by the {gate} gate"
    assert report["hint"] in seen.text
    proofs = next(table for table in seen.tables if table[0][0] == "gate")
    assert [row[4] for row in proofs[1:]] == verdicts
    assert {"Proofs", "Parity, float32: the graph answers like the original", "Speed"} <= set(seen.headings)


def test_the_worst_rows_of_a_graph_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, report = refused(
        tmp_path, capsys, monkeypatch, InProcess(edited(scale_wrongly)), "--precision", "float32"
    )
    assert report["gate"] == "parity"
    assert "Parity, float32: the graph differs from the original" in seen.headings
    proofs = next(table for table in seen.tables if table[0][0] == "gate")
    assert "refused" in [row[4] for row in proofs[1:] if row[0] == "parity"]
    worst = next(table for table in seen.tables if table[0][:3] == ["rows", "output", "original"])
    assert any("width=" in row[-1] for row in worst[1:])


def refused(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    sandbox: InProcess,
    *more: str,
) -> tuple[Seen, dict[str, Any]]:
    """The page and the JSON of a conversion that is refused with ``more``."""

    def convert_here(options: ConvertOptions, listener: Any) -> Any:
        return convert(options, listener, sandbox=sandbox, trial=trial_in_process)

    monkeypatch.setattr(convert_command, "convert", convert_here)
    rows = floats()
    model, sample = saved(folder, make_pipeline(StandardScaler(), LogisticRegression()), rows, two_classes(rows))
    command = ["convert", str(model), "--name", "m", "--sample", str(sample), "--to", str(folder / "models")]
    page = folder / "page.html"
    assert main([*command, "--target", TARGET, *more, "--html", str(page), "--json"]) == convert_command.REFUSED
    assert not (folder / "models").exists()
    return look_at(page, folder), json.loads(capsys.readouterr().out)


def test_what_was_optimised(folder: Path, tmp_path: Path) -> None:
    seen = look_at(folder / "optimise.html", tmp_path)
    check(seen)
    assert seen.title == "forest: variants of version 1"
    assert "Published as version" in seen.text
    variants = next(table for table in seen.tables if table[0][0] == "variant" and "loss" in table[0])
    assert variants[0] == ["variant", "size", "load", "memory", "1 row", "16 rows", "loss", "decision"]
    assert {row[0]: row[-1] for row in variants[1:]}.keys() >= {"original", "offline"}
    reasons = {
        row[0]: row[3] for table in seen.tables if table[0][0] == "variant" for row in table if len(row) == 4
    }
    assert reasons["int8"].startswith("the runtime has no int8 kernel for trees")


def test_converting_and_optimising_in_one_command_for_scripts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = cars()
    chosen = rows[["year", "automatic"]].astype(float)
    model, sample = saved(
        tmp_path, RandomForestClassifier(4, random_state=0), chosen, rows["automatic"].astype(int)
    )
    command = ["convert", str(model), "--name", "m", "--sample", str(sample), "--to", str(tmp_path / "models")]
    capsys.readouterr()
    assert main([*command, "--optimise", "--label", "stable", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["version"] == 1
    assert found["optimised"]["parent"] == 1
    assert found["optimised"]["rows"]["golden_only"] is False
    answers = found["optimised"]["version"] or 1
    labels = {found["optimised"]["version"]: found["optimised"]["label"], 1: found["label"]}
    assert {version for version, label in labels.items() if label} == {answers}, "said of the version that has it"
    assert main(["models", str(tmp_path / "models"), "--json"]) == 0
    (known,) = json.loads(capsys.readouterr().out)["models"]
    assert known["labels"]["stable"]["version"] == answers
