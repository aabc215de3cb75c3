"""Hostile ONNX files are refused before anything is published: by the gate, and by the command as a whole."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rapide.cli.main import main
from rapide.converters.errors import GateRefused
from rapide.converters.graph_gate import check_foreign, read_graph
from tests.hostile_models import ATTACKS, IN_THE_RUNTIME, Attack, tree

COMMANDED = (
    "external data up the tree",
    "functions that double",
    "a renamed pickle",
    "a tree with a cycle",
    "constants that double",
    "a loop without end",
)
"""Through the whole command, which takes seconds each."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_nobody_opens_it(tmp_path: Path, attack: Attack) -> None:
    attack.write(tmp_path)
    with pytest.raises(GateRefused, match=attack.says) as refused:
        check_foreign(tmp_path / "model.onnx")
    assert refused.value.gate == "graph"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_no_converter_may_have_written_it(tmp_path: Path, attack: Attack) -> None:
    """What comes out of a process that ran foreign code is read as a stranger's file, too."""
    attack.write(tmp_path)
    with pytest.raises(GateRefused):
        read_graph(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", COMMANDED)
def test_the_command_refuses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    attack = next(each for each in (*ATTACKS, *IN_THE_RUNTIME) if each.name == name)
    attack.write(tmp_path)
    sample = tmp_path / "rows.npz"
    np.savez(sample, x=np.ones((20, 2), np.float32))
    begun_s = time.monotonic()
    arguments = ["--name", "hostile", "--sample", str(sample), "--to", str(tmp_path / "models")]
    limits = ["--memory-gib", "3", "--timeout", "10"]
    assert main(["convert", str(tmp_path / "model.onnx"), *arguments, *limits]) in (1, 3)
    error = capsys.readouterr().err
    reasons = (
        attack.says,
        "cannot load model.onnx",
        "needed more than 3 GiB",
        "took longer",
        "Failed to allocate",
    )
    assert re.search("|".join(reasons), error), error
    assert not (tmp_path / "models").exists()
    assert time.monotonic() - begun_s < 40


def test_a_tree_that_looks_beyond_its_row(tmp_path: Path) -> None:
    """The runtime would read memory that is not the row's."""
    onnx.save(tree([1, 0, 0], [2, 0, 0], feature=1 << 20), tmp_path / "model.onnx")
    with pytest.raises(GateRefused, match="looks at feature 1048576, but its rows have 2"):
        read_graph(tmp_path / "model.onnx")
    onnx.save(tree([1, 0, 0], [2, 0, 0], feature=1), tmp_path / "model.onnx")
    read_graph(tmp_path / "model.onnx")


def test_a_tree_behind_a_scaler_that_looks_beyond_its_row(tmp_path: Path) -> None:
    model = tree([1, 0, 0], [2, 0, 0], feature=2)
    model.graph.node[0].input[0] = "scaled"
    scaler = helper.make_node("Scaler", ["x"], ["scaled"], domain="ai.onnx.ml", offset=[0.0] * 2, scale=[1.0] * 2)
    model.graph.node.insert(0, scaler)
    model.graph.value_info.append(helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["N", 2]))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(GateRefused, match="looks at feature 2, but its rows have 2"):
        read_graph(tmp_path / "model.onnx")
