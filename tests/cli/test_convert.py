"""``rapide convert`` as users and scripts meet it. The conversions are real, in their real child processes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rapide.cli import convert as module
from rapide.cli.convert_report import print_published
from rapide.cli.main import main
from rapide.converters.convert import convert
from rapide.converters.options import ConvertOptions
from tests.converters.in_process import InProcess, trial_in_process
from tests.converters.material import floats, saved, two_classes
from tests.converters.test_planted_errors import edited, scale_wrongly


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frame = floats()
    saved(tmp_path, make_pipeline(StandardScaler(), LogisticRegression()), frame, two_classes(frame))
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        *("convert", str(folder / "model.joblib"), "--name", "subject"),
        *("--sample", str(folder / "sample.parquet"), "--to", str(folder / "models"), *more),
    ]


@pytest.fixture
def tampered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every graph is wrong."""

    def convert_wrongly(options: ConvertOptions, listener: Any) -> Any:
        return convert(options, listener, sandbox=InProcess(edited(scale_wrongly)))

    monkeypatch.setattr(module, "convert", convert_wrongly)


def test_it_reports_what_was_proven_and_published(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--target", "target", "--classes", "no,yes", "--label", "stable", "--metric", "roc_auc")
    started = time.monotonic()
    assert main(arguments(folder, *more)) == 0
    took_s = time.monotonic() - started
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert out.startswith("float32: the graph answers like the original\n")
    assert ["real", "rows", "120", "label", "0", "0"] in lines
    assert ["published", "subject", "version", "1", "in", str(folder / "models/subject/1")] in lines
    assert "answers   target, probability.no, probability.yes" in out
    assert "quality   roc_auc " in out
    assert f"Next: rapide serve {folder / 'models'}" in out
    assert err.startswith(f"Opening {folder / 'model.joblib'} runs code that is stored in it: in a child process")
    assert took_s < 30, "a small model takes under 10 s on a quiet machine"


def test_json_is_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "--target", "target", "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["version"], report["precision"]) == ("subject", 1, "float32")
    assert report["digest"].startswith("sha256:")
    assert report["quality"]["accuracy"] > 0.8
    assert report["parity"]["float32"]["passed"] is True
    assert (Path(report["folder"]) / "manifest.json").exists()


def test_a_label_is_shown_with_the_optimised_version_that_has_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether a variant is faster depends on the machine: so that one was is put in afterwards."""
    options = ConvertOptions(
        folder / "model.joblib", folder / "sample.parquet", folder / "models", "m", label="stable", optimise=True
    )
    found = convert(options, lambda kind, text: None, sandbox=InProcess(), trial=trial_in_process)
    assert found.optimised is not None
    plain = replace(found, optimised=replace(found.optimised, version=None, manifest=None))
    other = replace(found, optimised=replace(found.optimised, version=2, manifest=None))
    for published, first, second in ((plain, "stable", ""), (other, "", "stable")):
        shown = module._to_json(published)
        assert (shown["label"], shown["optimised"]["label"]) == (first, second)
    capsys.readouterr()
    print_published(other, options)
    one, two = capsys.readouterr().out.split("published m version 2")
    assert "\nlabel     stable" not in one
    assert "\nlabel     stable" in two


@pytest.mark.usefixtures("tampered")
def test_a_refusal_shows_where_and_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "--precision", "float32")) == module.REFUSED
    out, err = capsys.readouterr()
    assert "float32: the graph differs from the original" in out
    assert "became" in out
    assert "at width=" in out
    assert "rapide: refused by the parity gate: the ONNX graph does not answer like the original" in err
    assert "Leave --precision out" in err
    assert not (folder / "models").exists()


@pytest.mark.usefixtures("tampered")
def test_a_refusal_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(folder, "--json", "--precision", "float32")) == module.REFUSED
    refusal = json.loads(capsys.readouterr().out)
    assert refusal["gate"] == "parity"
    assert "does not answer like the original" in refusal["error"]
    assert "Leave --precision out" in refusal["hint"]
    assert [attempt["passed"] for attempt in refusal["report"]["attempts"]] == [False]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(["--label", "7th"], "cannot name a label", id="label"),
        pytest.param(["--max-flips", "-1"], "--max-difference and --max-flips cannot be below 0", id="flips"),
        pytest.param(["--max-difference", "nan"], "--max-difference nan is no finite number", id="nan"),
        pytest.param(["--max-difference", "inf"], "--max-difference inf is no finite number", id="inf"),
        pytest.param(["--max-latency-us", "nan"], "--max-latency-us nan is no finite number", id="latency"),
        pytest.param(["--max-latency-us", "0"], "--max-latency-us must be above 0", id="no latency"),
        pytest.param(["--memory-gib", "inf"], "--memory-gib inf is no finite number", id="memory"),
        pytest.param(["--timeout", "nan"], "--timeout nan is no finite number", id="timeout nan"),
        pytest.param(["--parent", "99"], "--parent 99: subject has no such version", id="parent"),
        pytest.param(["--timeout", "0"], "--timeout 0 is not above 0 and at most 604800", id="timeout"),
        pytest.param(["--timeout", "1e10"], "--timeout 1e+10 is not above 0 and at most", id="endless timeout"),
        pytest.param(["--memory-gib", "1e30"], "--memory-gib 1e+30 is not above 0 and at most", id="all memory"),
    ],
)
def test_errors_are_words_and_exit_1(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert main(arguments(folder, *more)) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [["--name", "a/b"], ["--sample", "absent.csv"], ["--label", "7th"], ["--metric", "accuracy"], []],
    ids=["name", "sample", "label", "metric", "model"],
)
def test_nothing_is_said_to_be_opened_that_will_not_be(
    folder: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    if not wrong:
        (folder / "model.joblib").unlink()
    assert main(arguments(folder, *wrong)) == 1
    assert "Opening" not in capsys.readouterr().err


def test_a_page_that_could_not_be_written_is_said_before_the_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, "--html", str(folder / "absent" / "page.html"))) == 1
    err = capsys.readouterr().err
    assert f"there is no folder {folder / 'absent'}" in err
    assert "Opening" not in err
    assert not (folder / "models").exists()


def test_a_page_that_fails_afterwards_hides_no_version(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder for the page is removed while the model is converted."""
    pages = folder / "pages"
    pages.mkdir()

    def convert_and_remove(options: ConvertOptions, listener: Any) -> Any:
        pages.rmdir()
        return convert(options, listener, sandbox=InProcess(), trial=trial_in_process)

    monkeypatch.setattr(module, "convert", convert_and_remove)
    assert main(arguments(folder, "--html", str(pages / "page.html"), "--json")) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["version"] == 1
    assert f"the page {pages / 'page.html'} was not written" in found["notes"][-1]
    assert "was not written" in err


@pytest.mark.parametrize(
    ("blocks", "message"),
    [(0, "no folder for temporary files that can be written to"), (2, "became larger than is allowed here")],
)
def test_files_that_may_get_no_longer_are_said_in_words(folder: Path, blocks: int, message: str) -> None:
    program = "import sys; from rapide.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "-", sys.executable, "-c", program]
    done = subprocess.run([*command, *arguments(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "models").exists()


def test_errors_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, "--json")) == 1
    out, err = capsys.readouterr()
    assert "does not exist" in json.loads(out)["error"]
    assert "does not exist" in err


def test_a_wrong_command_line_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["convert", "model.joblib"])
    assert ended.value.code == 2
    assert "--name" in capsys.readouterr().err


def test_help_needs_nothing_heavy() -> None:
    """Not even on a machine where the extra is not installed."""
    heavy = {"numpy", "pandas", "sklearn", "onnx", "onnxruntime", "skl2onnx", "rich"}
    script = (
        "import sys\n"
        "from rapide.cli.main import main\n"
        "try:\n"
        "    main(['convert', '--help'])\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 0\n"
        f"print(sorted(set(sys.modules) & {heavy!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "examples:" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_extra_is_named_where_it_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "skl2onnx" else find(name, *rest)
    )
    assert main(arguments(folder)) == 1
    err = capsys.readouterr().err
    assert "needs skl2onnx, not installed here" in err
    assert 'pip install "rapide[convert]"' in err
