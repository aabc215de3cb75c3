"""What holds for every test: who may run beside whom."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest

# Before grpcio is imported anywhere: children of tests are to begin as they are. With its fork handlers a child
# whose parent had used a channel started pollers anew between fork and exec, and now and then ended in SIGABRT.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

hypothesis.settings.register_profile("rapide", deadline=None)  # a clock would tell how busy the machine is
hypothesis.settings.load_profile("rapide")

TAKING_TURNS = ("tests/conformance/", "tests/integration/", "tests/loadtests/")
"""Tests that start servers and measure time."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``: tests with real servers take turns on one process. Side by side they would share two cores, and
    what one of them measures would depend on the others. Any other file is run wherever there is room.

    xdist's own ``--dist loadgroup`` has no effect with pytest 9.2, whose node ids cannot be changed afterwards.
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only there where xdist is

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "taking turns" if nodeid.startswith(TAKING_TURNS) else nodeid.partition("::")[0]

    return Scheduling(config, log)
