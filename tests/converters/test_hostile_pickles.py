"""Pickles that run code when they are opened, through the whole command: it must say so, and outlive them."""

from __future__ import annotations

import os
import pickle
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from rapide.cli.main import main
from tests.converters.material import floats


class Call:
    """Unpickled, calls ``function(*arguments)``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def convert(folder: Path, payload: Any, *options: str) -> int:
    (folder / "model.pkl").write_bytes(pickle.dumps(payload))
    floats(20).to_parquet(folder / "sample.parquet")
    arguments = ["--name", "hostile", "--sample", str(folder / "sample.parquet"), "--to", str(folder / "models")]
    return main(["convert", str(folder / "model.pkl"), *arguments, *options])


_FORKS = "import os, time\nfor _ in range(9): os.fork()\ntime.sleep(60)"
"""Burns out by itself, in case nobody stops it."""


@pytest.mark.parametrize(
    ("payload", "options", "says"),
    [
        pytest.param(Call(os._exit, 0), [], "ended with status 0 while unpickling the model", id="_exit"),
        pytest.param(
            Call(time.sleep, 60), ["--timeout", "15"], "unpickling the model .* longer than 15 s", id="sleep"
        ),
        pytest.param(Call(bytearray, 1 << 40), [], "needed more than 8 GiB of memory", id="memory"),
        pytest.param(Call(bytearray, 100 << 30), [], "needed more than 8 GiB of memory", id="100 GB"),
        pytest.param(
            Call(exec, "while True: pass"),
            ["--timeout", "12"],
            "unpickling .* took longer than 12 s",
            id="busy loop",
        ),
        pytest.param(
            Call(exec, _FORKS), [], "unpickling .* started more than 64 processes, and was", id="fork bomb"
        ),
        pytest.param(
            Call(socket.create_connection, ("127.0.0.1", 9), 5.0),
            [],
            "cannot be unpickled: PermissionError.*Permission denied",
            id="socket",
        ),
        pytest.param(Call(os.abort), [], "was ended by SIGABRT while unpickling the model", id="abort"),
        pytest.param(Call(print, "pwned"), [], "holds a NoneType, not a scikit-learn estimator", id="print"),
    ],
)
def test_the_command_outlives_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], payload: Any, options: list[str], says: str
) -> None:
    started = time.monotonic()
    assert convert(tmp_path, payload, *options) == 1
    out, err = capsys.readouterr()
    assert "runs code that is stored in it" in err
    assert re.search(says, err), err
    assert "pwned" not in out
    assert not (tmp_path / "models").exists()
    assert time.monotonic() - started < 30
