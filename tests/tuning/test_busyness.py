from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from rapide.tuning.busyness import BUSY, Times, look, others_share

SPIN_S = 1.5


USABLE = sorted(os.sched_getaffinity(0))


def burn(cpu: int) -> subprocess.Popen[bytes]:
    """A process that uses a core for a while."""
    spin = f"import os, time\nos.sched_setaffinity(0, [{cpu}])\nwhile time.process_time() < {SPIN_S}: pass"
    return subprocess.Popen([sys.executable, "-c", spin])


def test_somebody_elses_work_is_seen() -> None:
    with burn(USABLE[0]) as other:
        time.sleep(0.2)
        share = look(USABLE[:1], span_s=0.4)
        other.kill()
    assert share > 5 * BUSY


def test_what_somebody_does_on_other_cores_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    stat = tmp_path / "proc" / "stat"

    def times(user: tuple[int, int], at_s: float) -> Times:
        lines = [f"cpu{number} {ticks} 0 0 0 0 0 0 0 0 0" for number, ticks in enumerate(user)]
        stat.write_text("\n".join([f"cpu  {sum(user)} 0 0 0 0 0 0 0 0 0", *lines, "intr 1 2"]))
        return replace(Times.now([1], tmp_path), own_s=0.0, at_s=at_s)

    assert others_share(times((0, 0), 0.0), times((100, 20), 1.0), cores=1) == pytest.approx(0.2)


def test_work_of_ones_own_is_not_somebody_elses() -> None:
    """That of children that were waited for counts as one's own, too: servers and generators are children. (What
    others do at the same time is not ours to say: tests run beside this one.)"""
    before = Times.now(USABLE)
    burn(USABLE[0]).wait()
    until_s = time.process_time() + 0.3
    while time.process_time() < until_s:
        pass
    after = Times.now(USABLE)
    own_s = after.own_s - before.own_s
    assert own_s == pytest.approx(SPIN_S + 0.3, abs=0.2)
    alone = replace(before, busy_s=before.busy_s + own_s, own_s=after.own_s, at_s=after.at_s)
    assert others_share(before, alone, cores=1) == pytest.approx(0.0, abs=1e-6)


def test_what_the_host_takes_away_counts_as_others(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    stat = tmp_path / "proc" / "stat"

    def times(steal: int, at_s: float) -> Times:
        stat.write_text(f"cpu  0 0 0 0 0 0 0 {steal} 0 0\ncpu0 0 0 0 0 0 0 0 {steal} 0 0\n")
        found = Times.now([0], tmp_path)
        return Times(found.busy_s, found.stolen_s, 0.0, at_s)

    assert 0.45 < others_share(times(0, 0.0), times(100, 1.0), cores=2) < 0.55


def test_a_share_is_one() -> None:
    assert others_share(Times(0, 0, 0, 0), Times(9, 0, 0, 1), cores=2) == 1.0
    assert others_share(Times(0, 0, 0, 0), Times(0, 0, 3, 1), cores=2) == 0.0
