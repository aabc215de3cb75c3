"""What holds for every test: who may run beside whom, and that no example is timed."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("rapide", deadline=None)  # a clock would tell how busy the machine is
hypothesis.settings.load_profile("rapide")

HERE = Path(__file__).parent
REAL_SOCKETS = tuple(HERE / name for name in ("conformance", "integration", "loadtests"))
"""Folders whose tests start servers and measure time."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with real servers take turns on one xdist worker: side by side they would share two cores, and what
    one of them measures would depend on the others."""
    for item in items:
        in_folder = any(item.path.is_relative_to(folder) for folder in REAL_SOCKETS)
        if in_folder or item.get_closest_marker("integration"):
            item.add_marker(pytest.mark.xdist_group("real-sockets"))
