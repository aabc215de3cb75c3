"""The servers that a tuning starts, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rapide.cli.tune import usable_cpus
from rapide.server.repository.digest import file_digest_text
from rapide.tuning.configuration import default_configuration
from rapide.tuning.served import Served, Site
from tests import models
from tests.alive import still_alive

pytestmark = pytest.mark.integration


def test_ctrl_c_while_a_server_stops_leaves_none_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    root = models.repository(tmp_path / "models", {"m": {1: models.linear()}})
    digest = file_digest_text(root / "m/1/model.onnx")
    served = Served(Site(str(root), "m", 1, digest, usable_cpus(1), None), default_configuration(1))
    served.__enter__()
    supervisor = served._running.pid
    workers = served.workers()
    os.kill(supervisor, signal.SIGSTOP)  # it does not hear SIGTERM: the second Ctrl-C comes before its end
    again = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    again.start()
    with pytest.raises(KeyboardInterrupt):
        served.__exit__(None, None, None)
    again.join()
    assert served._running.poll() is not None
    assert not list(work.iterdir())
    assert still_alive(workers) == []  # they see that their supervisor is gone


_TUNING = """
import json, sys, time
from rapide.tuning.configuration import default_configuration
from rapide.tuning.served import Served, Site

root, digest, *cpus = sys.argv[1:]
with Served(Site(root, "m", 1, digest, tuple(map(int, cpus)), None), default_configuration(1)) as served:
    print(json.dumps([served._running.pid, *served.workers()]), flush=True)
    time.sleep(60)
"""


def test_a_tuning_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    root = models.repository(tmp_path / "models", {"m": {1: models.linear()}})
    digest = file_digest_text(root / "m/1/model.onnx")
    work = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", _TUNING, str(root), digest, *map(str, usable_cpus(1))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=work) as tuning:
        assert tuning.stdout is not None
        servers: list[int] = json.loads(tuning.stdout.readline())
        assert len(servers) == 2
        tuning.kill()
    assert still_alive(servers) == []
