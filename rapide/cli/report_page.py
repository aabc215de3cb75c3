"""The page that a command writes beside its work: what can go wrong is found before the work, and never hides what
came of it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapide.server.errors import RapideError


def check_page(path: Path | None, option: str = "--html") -> None:
    """Raises RapideError where no page could be written to ``path``; None asks for none."""
    if path is None:
        return
    if path.is_dir():
        raise RapideError(f"{option} {path} is a folder", hint=f"Give a file: {option} {path / 'report.html'}")
    check_folder(path, option)
    if importlib.util.find_spec("matplotlib") is None:
        raise RapideError(
            f"{option} needs matplotlib for its plots, not installed here", hint='pip install "rapide[reports]"'
        )


def check_folder(path: Path, option: str) -> None:
    """Raises RapideError where there is no folder for ``path`` or none to be written into, and for a folder."""
    if path.is_dir():
        raise RapideError(f"{option} {path} is a folder", hint="Give a file in it.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise RapideError(
            f"{option} {path}: there is no folder {folder}", hint=f"Make it first: mkdir -p {folder}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RapideError(f"{option} {path}: you may not write into {folder}")


def write_page(path: Path, make: Callable[[], Any]) -> str:
    """Writes the page that ``make`` gives. Returns why it could not be written; empty where it was. Raises nothing
    for that: what the page is about has happened, and has to be told."""
    try:
        make().save(path)
    except (ImportError, OSError) as error:
        return f"the page {path} was not written: {error}"
    return ""
