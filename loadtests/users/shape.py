"""As many locust users as a usage profile had traffic."""

from __future__ import annotations

from typing import ClassVar

from locust import LoadTestShape

from rapide.loadtests.users.curve import Curve

USERS_PER_S = 1000.0
"""Spawned or stopped: as fast as locust can, since the profile says when."""


class ProfileShape(LoadTestShape):
    """Follows ``curve``. Locust asks once a second."""

    curve: ClassVar[Curve] = Curve([])
    """The run's, set before it starts."""

    def tick(self) -> tuple[int, float] | None:
        users = self.curve.at(float(self.get_run_time()))  # type: ignore[no-untyped-call]
        return None if users is None else (users, USERS_PER_S)
