"""How many users a usage profile's traffic is, second by second. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rapide.profiles.arrivals import Arrivals

REQUESTS_PER_USER_S = 5.0
"""Each user asks so often: many users with little to do come more evenly than a few that are busy."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Users wanted in each second from the start."""

    users: Sequence[int]

    @classmethod
    def of(cls, arrivals: Arrivals) -> Curve:
        """Enough users for the arrivals of each second."""
        counts = np.bincount(arrivals.instants_s.astype(np.int64))
        return cls([math.ceil(count / REQUESTS_PER_USER_S) for count in counts.tolist()])

    def at(self, time_s: float) -> int | None:
        """None after the end."""
        second = int(time_s)
        return self.users[second] if second < len(self.users) else None
