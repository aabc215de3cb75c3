from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from rapide.tuning.costs import Costs
from rapide.tuning.curves import Curves
from rapide.tuning.errors import TuningError
from rapide.tuning.knobs import Knobs
from rapide.tuning.learnt import SCHEMA, Learnt, write_whole
from tests.tuning.curves_of import curve_of


def learnt() -> Learnt:
    curves = [curve_of(lambda rows: 2.0 * rows, knobs) for knobs in (Knobs(threads=2), Knobs("int8"))]
    known = Curves({curve.knobs: curve for curve in curves})
    return Learnt(known, Costs(late_waking_us=(1.0, 2.0)), "grpc, 4 rows", 64, "ids[1] of 32", 1.0, {"int8": "ab"})


def test_what_was_learnt_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "learnt.json"
    learnt().save(path)
    assert Learnt.load(path) == learnt()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


POINT = {"rows": 2, "us": 4.0, "low_us": 4.0, "high_us": 4.0, "runs": 100}


@pytest.mark.parametrize("points", [[], [POINT, POINT], [POINT, POINT | {"rows": 1}], [POINT | {"us": 0}]])
def test_curves_that_cannot_be_are_measured_again(tmp_path: Path, points: list[dict[str, float]]) -> None:
    path = tmp_path / "learnt.json"
    learnt().save(path)
    document = json.loads(path.read_bytes())
    document["curves"][0]["points"] = points
    path.write_text(json.dumps(document))
    assert Learnt.load(path) == Learnt()


def test_curves_of_smaller_runs_say_nothing_of_larger_ones() -> None:
    known = learnt()
    known.forget_stale(32, known.inputs, 1.0, {"int8": "ab"})
    assert set(known.curves.done) == {Knobs(threads=2), Knobs("int8")}
    known.forget_stale(128, known.inputs, 1.0, {"int8": "ab"})
    assert (known.curves.done, known.largest_rows) == ({}, 128)


def test_curves_of_short_sequences_say_nothing_of_long_ones() -> None:
    known = learnt()
    known.forget_stale(64, "ids[1] of 128", 1.0, {"int8": "ab"})
    assert (known.curves.done, known.inputs) == ({}, "ids[1] of 128")


def test_curves_of_a_quick_look_say_too_little_for_a_long_one() -> None:
    known = learnt()
    known.forget_stale(64, known.inputs, 0.34, {"int8": "ab"})
    assert len(known.curves.done) == 2, "more effort than is asked for"
    known.forget_stale(64, known.inputs, 2.0, {"int8": "ab"})
    assert (known.curves.done, known.effort) == ({}, 2.0)


def test_a_variant_that_was_made_anew_is_measured_anew() -> None:
    known = learnt()
    known.forget_stale(64, known.inputs, 1.0, {"int8": "cd", "fp16": "ef"})
    assert set(known.curves.done) == {Knobs(threads=2)}
    assert known.variants == {"int8": "cd", "fp16": "ef"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"schema": 1, "onnxruntime": "0.1"}', b'{"schema": 9}'])
def test_what_cannot_be_used_is_measured_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "learnt.json"
    path.write_bytes(content)
    assert Learnt.load(path) == Learnt()
    assert Learnt.load(tmp_path / "missing") == Learnt()


@pytest.mark.parametrize(
    "damage",
    [
        {"cools_us": 0},
        {"spread": None},
        {"late_us": []},
        {"late_share": 7},
        {"stalls_per_s": -4},
        {"late_waking_us": [-5000]},
        {"stall_us": [1e999]},
    ],
    ids=str,
)
def test_costs_that_nobody_can_simulate_with_are_measured_again(tmp_path: Path, damage: dict[str, object]) -> None:
    path = tmp_path / "learnt.json"
    Learnt(costs=Costs()).save(path)
    assert Learnt.load(path).costs == Costs()
    document = json.loads(path.read_text())
    document["costs"] |= damage
    path.write_text(json.dumps(document))
    assert Learnt.load(path) == Learnt()


def test_what_an_earlier_release_learnt_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "learnt.json"
    Learnt(costs=Costs()).save(path)
    path.write_text(path.read_text().replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA - 1}'))
    assert Learnt.load(path) == Learnt()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TuningError, match=r"file/x.json cannot be written"):
        write_whole(tmp_path / "file" / "x.json", b"")


def test_no_space_left_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A process that may write no file longer than a few bytes: the kernel refuses as a full disk does."""
    program = (
        "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from pathlib import Path; from rapide.tuning.learnt import write_whole\n"
        "write_whole(Path(sys.argv[1]), bytes(5000))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x.json")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert "cannot be written" in found.stderr
    assert "Make room there" in found.stderr
    assert list(tmp_path.iterdir()) == []
