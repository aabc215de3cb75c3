"""Reference pages that are rendered from the code: settings from their table, commands from their parsers.

``python -m rapide.cli.reference`` writes them; with ``--check`` it only says whether they are up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rapide.cli.main import COMMANDS, build_parser, command_parser
from rapide.cli.serve import show_default
from rapide.server.settings import SPECS, SettingSpec

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
WIDTH = 100
"""Help texts are wrapped for this many columns, whatever the terminal."""

_SETTINGS_HEAD = """\
# Settings

<!-- Rendered by scripts/reference from server/settings.py; edit that. -->

Every setting of `rapide serve` has one name. As a flag it is written `--http-port`, in the environment
`RAPIDE_HTTP_PORT`, in a TOML file `http_port`. Flags win over the environment, the environment over the file, the
file over the defaults. The file is named by `--config` or `RAPIDE_CONFIG`; without either, `rapide.toml` in the
current folder is read if it is there:

```toml
models = "/srv/models"
host = "0.0.0.0"
grace_s = 5
control = "explicit"
load = ["car-price", "digits"]
```

An unknown name is an error that names the closest real ones, wherever it comes from. Two more variables are no
settings: `RAPIDE_CONFIG`, and `RAPIDE_DEBUG=1`, which shows tracebacks. Variables that Kubernetes injects for a
Service called `rapide` (`RAPIDE_SERVICE_HOST`, `RAPIDE_PORT_8000_TCP`, …) are passed over.

Units are in the names: `_s` seconds, `_us` microseconds, `_bytes`, `_rows`. On and off are written `true` and
`false` in files; `1`/`0`, `true`/`false`, `yes`/`no` or `on`/`off` in the environment; `--spinning` and
`--no-spinning` as flags.
"""
_COMMANDS_HEAD = """\
# Commands

<!-- Rendered by scripts/reference from the commands' own help; edit that. -->

Exit codes of every command: 0 done; 1 it could not be done, and why is on standard error; 2 the command line is
wrong; 70 a mistake of rapide's; 130 interrupted. `rapide convert` has one more: 3 a gate refused the model.
`convert` and `optimise` end with 143 after SIGTERM, their folders and processes cleared away.
`RAPIDE_DEBUG=1` shows tracebacks.

With `--json`, an error is an object on standard output as well, `{"error": "what is wrong", "hint": "what to do"}`
(the hint may be empty); the exit code is the same.
"""


def settings_page() -> str:
    """docs/reference/settings.md."""
    parts = [_SETTINGS_HEAD]
    for group, specs in groupby(SPECS, key=lambda spec: spec.group):
        parts.append(f"\n## {group}\n\n| setting | default | what | why this default |\n|---|---|---|---|\n")
        parts += [_row(spec) for spec in specs]
    return "".join(parts)


def commands_page() -> str:
    """docs/reference/commands.md."""
    return "".join([_COMMANDS_HEAD, *(f"\n## rapide {name}\n\n```\n{_help(name)}```\n" for name in COMMANDS)])


def pages() -> Iterator[tuple[Path, str]]:
    """Every page: where it is, and what should be there."""
    yield FOLDER / "settings.md", settings_page()
    yield FOLDER / "commands.md", commands_page()


def main() -> int:
    """Writes the pages, or says which are out of date."""
    parser = argparse.ArgumentParser(description="Renders docs/reference from the code.")
    parser.add_argument("--check", action="store_true", help="only say whether the pages are up to date")
    check = parser.parse_args().check
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if check:
            print(f"{path.name} is out of date; run scripts/reference", file=sys.stderr)
        else:
            path.write_text(text)
    return 1 if check and stale else 0


def _row(spec: SettingSpec) -> str:
    bounds = f"; {', '.join(spec.choices)}" if spec.choices else f"; {spec.bounds}" if spec.bounds else ""
    cells = (f"`{spec.name}`", show_default(spec), f"{spec.help}{bounds}", spec.reason)
    return f"| {' | '.join(cell.replace('|', '∣') for cell in cells)} |\n"


class _Wide(argparse.RawDescriptionHelpFormatter):
    """The same page on every terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=WIDTH)


def _help(command: str) -> str:
    chosen = command_parser(build_parser([command]), command)
    chosen.formatter_class = _Wide
    return chosen.format_help()


if __name__ == "__main__":
    raise SystemExit(main())
