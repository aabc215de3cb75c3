"""Tests of heavy sources run where their extra is installed; ``scripts/test --all`` installs all of them, and then
none may be missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from typing import Any

import pytest

ALL = "RAPIDE_TEST_ALL"
"""Set by ``scripts/test --all``."""


def needs(extra: str, *modules: str) -> None:
    """Call it at the top of a test module: skips it, saying so, where ``rapide[extra]`` is not installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        return
    reason = _reason(extra, missing)
    if os.environ.get(ALL):
        pytest.fail(f"scripts/test --all, but {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def imported(name: str) -> Any:
    """The module, whatever it warns of while it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def installed(extra: str, *modules: str) -> pytest.MarkDecorator:
    """A mark for a test, or for one of its cases: the same, where a test module has others as well."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing and os.environ.get(ALL):
        pytest.fail(f"scripts/test --all, but {_reason(extra, missing)}", pytrace=False)
    return pytest.mark.skipif(bool(missing), reason=_reason(extra, missing))


def _reason(extra: str, missing: list[str]) -> str:
    return f'the extra rapide[{extra}] is not installed ({", ".join(missing)}): pip install ".[{extra}]"'
