"""Where a request's time goes: from sampled stacks to shares."""

from __future__ import annotations

import pytest

from rapide.loadtests.bench import profiling
from rapide.loadtests.bench.profiling import Share, main, shares, table

STACKS = """\
main (app.py:3);serve (/a/b/server/engine.py:10);run (/a/b/server/model.py:7) 6
main (app.py:3);serve (/a/b/server/engine.py:12) 2
main (app.py:3);serve (/a/b/server/engine.py:10);serve (/a/b/server/engine.py:11) 2
_bootstrap (threading.py:1);_worker (/usr/lib/concurrent/futures/thread.py:81) 90
"""


def test_lines_of_a_function_are_one_and_recursion_counts_once() -> None:
    assert shares(STACKS) == [
        Share("run (server/model.py)", itself=0.6, with_callees=0.6),
        Share("serve (server/engine.py)", itself=0.4, with_callees=1.0),
        Share("main (app.py)", itself=0.0, with_callees=1.0),
    ]


def test_the_busiest_come_first() -> None:
    assert table(shares(STACKS), lines=2).splitlines() == [
        " itself    all    function",
        "  60.0%   60.0%  run (server/model.py)",
        "  40.0%  100.0%  serve (server/engine.py)",
    ]


def test_a_missing_profiler_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(profiling, "_profiler", lambda: None)
    assert main(["rapide-json"]) == 2
    assert "pip install py-spy" in capsys.readouterr().err
