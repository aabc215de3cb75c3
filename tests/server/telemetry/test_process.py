from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from rapide.server.telemetry import process


def test_facts_about_this_process() -> None:
    facts = process.facts(os.getpid())
    assert facts is not None
    assert 5e6 < facts.resident_bytes < 5e9
    assert abs(facts.cpu_s - time.process_time()) < 1
    assert time.time() - 86400 < facts.start_time_s < time.time() + 1
    assert facts.threads == threading.active_count() or facts.threads > 1
    before = facts.open_files
    with open(os.devnull):
        more = process.facts(os.getpid())
        assert more is not None
        assert more.open_files == before + 1
    assert facts.max_files > facts.open_files


def test_a_process_that_is_gone_has_no_facts() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    child.wait()
    assert process.facts(child.pid) is None
    assert process.started_ticks(child.pid) == -1


def test_a_process_that_waits_to_be_reaped_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.started_ticks(child.pid) == -1
    child.stdout.close()
    child.wait()
