"""What HTTP and gRPC users have in common."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from locust import User

from rapide.loadtests.payloads import Payload
from rapide.loadtests.users.plan import Options

_numbers = itertools.count()


class PredictionUser(User):
    """Sends the plan's requests one after another, over and over."""

    abstract = True
    options: ClassVar[Options]
    """The run's, set for every user class before the first user starts."""
    pace: ClassVar[Any] = None
    """One of locust's functions that keep a pace, instead of ``options.wait_s``."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.keys = self.options.keys(next(_numbers))

    @classmethod
    def prepare(cls, host: str) -> list[Payload]:
        """What to send to ``host``, made from what the server says of the model: asked once for all users.

        Raises Unprepared with the server's reason, or ValueError or OSError about recorded rows.
        """
        raise NotImplementedError

    def wait_time(self) -> float:
        return self.options.wait_s if self.pace is None else float(self.pace())
