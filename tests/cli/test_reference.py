"""The rendered reference pages are what the code says, and whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapide.cli.main import COMMANDS
from rapide.cli.reference import commands_page, pages, settings_page
from rapide.server.settings import SPECS


@pytest.mark.parametrize(("path", "text"), list(pages()), ids=lambda value: getattr(value, "name", ""))
def test_the_page_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text() == text, "run scripts/reference"


def test_every_setting_and_command_is_there() -> None:
    settings, commands = settings_page(), commands_page()
    assert all(f"| `{spec.name}` |" in settings for spec in SPECS)
    assert all(f"## rapide {name}\n" in commands for name in COMMANDS)
    assert commands.count("examples:") == len(COMMANDS)
