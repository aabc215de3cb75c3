"""``rapide optimise``: what it prints, for people and for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rapide.cli.main import main
from tests import models
from tests.versions import golden_rows, publish_version

X = np.eye(4, dtype=np.float32)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    golden = golden_rows({"x": X}, {"y": X @ models.LINEAR_WEIGHTS + models.LINEAR_BIAS})
    publish_version(tmp_path, "m", models.linear(), golden=golden)
    return tmp_path


def test_for_people(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimise", str(repository), "m", "--only", "clean"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split()[:4] == ["variant", "size", "load", "memory"]
    assert any(line.split() == ["clean", "there", "is", "nothing", "to", "clean", "up"] for line in lines)
    assert lines[-1].startswith("Nothing was published: m version 1 stands as it is.")
    assert "Note: only the version's 4 golden rows were there" in printed.err


def test_for_scripts(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["optimise", str(repository), "m", "--only", "int8", "--keep", "int8", "--sizes", "1,3", "--json"]
    assert main([*command, "--max-loss", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["parent"], found["version"]) == ("m", 1, 2)
    assert [each["name"] for each in found["variants"]] == ["original", "int8"]
    assert found["variants"][1]["kept"]
    assert found["variants"][1]["latency_us"].keys() == {"1", "3"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--sizes", "0"], "--sizes '0' are no numbers of rows"),
        (["--sizes", "1,x"], "--sizes '1,x' are no numbers"),
        (["--sizes", ""], "are no numbers"),
        (["--max-loss", "lots"], "--max-loss 'lots' is neither"),
        (["--memory-gib", "0"], "--memory-gib 0 is not above 0"),
        (["--rows", "absent.csv"], "the rows absent.csv are no file"),
        (["--html", "absent/page.html"], "--html absent/page.html: there is no folder"),
        (["--timeout", "nan"], "--timeout nan is no finite number"),
        (["--keep", "nope"], "there is no recipe 'nope'"),
        (["--only", "magic"], "there is no recipe 'magic'"),
    ],
)
def test_wrong_options(
    repository: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimise", str(repository), "m", *arguments]) == 1
    assert complaint in capsys.readouterr().err
