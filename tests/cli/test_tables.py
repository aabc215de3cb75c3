"""Tables: aligned where read by programs, drawn where read by people."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rapide.cli.tables import percent_text, print_table, size_text

ROWS = [("car-price", "10", "ok"), ("car-price", "9", ""), ("digits", "1", "evil \x1b[2J\nline")]


def test_elsewhere_every_line_stands_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("model", "version", "note"), ROWS, right=frozenset({"version"}))
    assert capsys.readouterr().out.splitlines() == [
        "model      version  note",
        "car-price       10  ok",
        "car-price        9",
        "digits           1  evil  [2J line",
    ]


def test_on_a_terminal_it_is_drawn() -> None:
    script = f"from rapide.cli.tables import print_table; print_table(('model', 'version', 'note'), {ROWS!r})"
    terminal, child_side = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "60"}
    subprocess.run([sys.executable, "-c", script], stdout=child_side, env=environment, check=True)
    os.close(child_side)
    shown = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert "───" in shown
    assert shown.count("car-price") == 1
    assert "\x1b[2J" not in shown


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9949, "9.9 kB"), (9950, "10 kB"), (999_499, "999 kB"),
     (999_500, "1.0 MB"), (91_000_000, "91 MB"), (2_500_000_000, "2.5 GB"), (7 * 10**12, "7.0 TB")],
)  # fmt: skip
def test_sizes(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize(("percent", "text"), [(100.0, "100 %"), (0.5, "0.5 %"), (66.6 + 1e-12, "66.6 %")])
def test_percentages(percent: float, text: str) -> None:
    assert percent_text(percent) == text
