from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from rapide.tuning.busyness import BUSY, Times, look, others_share

SPIN_S = 1.5


def burn() -> subprocess.Popen[bytes]:
    """A process that uses a core for a while."""
    return subprocess.Popen([sys.executable, "-c", f"import time\nwhile time.process_time() < {SPIN_S}: pass"])


def test_somebody_elses_work_is_seen() -> None:
    with burn() as other:
        time.sleep(0.2)
        share = look(cores=1, span_s=0.4)
        other.kill()
    assert share > 5 * BUSY


def test_work_of_ones_own_is_not_somebody_elses() -> None:
    """That of children that were waited for counts as one's own, too: servers and generators are children."""
    others = look(cores=1, span_s=0.4)  # tests run beside this one
    before = Times.now()
    burn().wait()
    until_s = time.process_time() + 0.3
    while time.process_time() < until_s:
        pass
    assert others_share(before, Times.now(), cores=1) < others + 0.5


def test_what_the_host_takes_away_counts_as_others(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    stat = tmp_path / "proc" / "stat"

    def times(steal: int, at_s: float) -> Times:
        stat.write_text(f"cpu  0 0 0 0 0 0 0 {steal} 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n")
        found = Times.now(tmp_path)
        return Times(found.busy_s, found.stolen_s, 0.0, at_s)

    assert 0.45 < others_share(times(0, 0.0), times(100, 1.0), cores=2) < 0.55


def test_a_share_is_one() -> None:
    assert others_share(Times(0, 0, 0, 0), Times(9, 0, 0, 1), cores=2) == 1.0
    assert others_share(Times(0, 0, 0, 0), Times(0, 0, 3, 1), cores=2) == 0.0
