"""Pages in a real browser: Debian's chromium, headless, without any network."""

from __future__ import annotations

import html
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools import program

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1000,800",
    "--virtual-time-budget=2000",
)
_PROBE = """
<script>
const shown = element => { const box = element.getBoundingClientRect(); return [box.width, box.height]; };
const all = name => [...document.querySelectorAll(name)];
document.body.dataset.seen = JSON.stringify({
  title: document.title,
  headings: all('h1, h2').map(each => each.textContent),
  text: document.body.innerText,
  plots: all('svg').map(shown),
  tables: all('table').map(each => [...each.rows].map(row => [...row.cells].map(cell => cell.innerText))),
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  fetched: performance.getEntriesByType('resource').map(each => each.name),
});
</script>
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the browser made of a page. ``plots``: width and height of each; ``overflow``: pixels beyond the
    window; ``fetched``: what the page loaded besides itself."""

    title: str
    headings: list[str]
    text: str
    plots: list[list[float]]
    tables: list[list[list[str]]]
    overflow: float
    fetched: list[str]


def look_at(page: Path, folder: Path) -> Seen:
    """Opens ``page`` and measures it there; ``folder`` is for the browser's own files. Skips without chromium."""
    probed = folder / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{_PROBE}</body>"), encoding="utf-8")
    command = [
        program("chromium"),
        *_FLAGS,
        f"--user-data-dir={folder / 'browser'}",
        "--dump-dom",
        probed.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, f"the browser ended with {done.returncode}: {done.stderr[-2000:]}"
    raw: dict[str, Any] = json.loads(html.unescape(found[1]))
    return Seen(**raw)
