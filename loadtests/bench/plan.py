"""How much is measured, and how long that takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PARTS: Mapping[str, str] = {
    "start": "time to ready, memory of a fresh server",
    "closed": "requests per second and mean latency in closed loops",
    "open": "latency at a fixed arrival rate",
    "larger": "a larger model against session.run in a loop",
    "workers": "two workers against one",
    "crowd": "a thousand idle connections and two hundred active ones",
}
"""What a run consists of; ``--parts`` takes some of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``quick`` marks results for a glance, not for a claim: less than all was measured, or shorter."""

    quick: bool
    parts: tuple[str, ...]
    workloads: tuple[str, ...]
    grpc_in_flight: tuple[int, ...]
    http_in_flight: tuple[int, ...]
    rounds: int
    """At most; a round that would not end before ``limit_s`` is not begun."""
    warm_up_s: float
    duration_s: float
    """Of each closed loop."""
    open_s: float
    """Of each open loop."""
    starts: int
    idle: int
    """Connections of the crowd that are only kept."""
    active: int
    crowd_s: float
    limit_s: float
    """A run does not take longer, but for what was begun."""
    real_time: bool = False
    """In open loops, nothing else on its core runs before the server asked."""
    larger: tuple[str, ...] = ()
    """Paths of models measured as larger ones besides ours."""

    def in_flight(self, protocol: str) -> tuple[int, ...]:
        return self.grpc_in_flight if protocol == "grpc" else self.http_in_flight


FULL = Plan(
    quick=False,
    parts=tuple(PARTS),
    workloads=("logistic-regression", "gradient-boosting"),
    grpc_in_flight=(1, 8, 32, 64),
    http_in_flight=(1, 8, 32),
    rounds=4,
    warm_up_s=0.4,
    duration_s=2.0,
    open_s=8.0,
    starts=5,
    idle=1000,
    active=200,
    crowd_s=5.0,
    limit_s=1500.0,
)
QUICK = Plan(
    quick=True,
    parts=("closed", "open"),
    workloads=("logistic-regression",),
    grpc_in_flight=(1, 8, 32, 64),
    http_in_flight=(1, 8),
    rounds=1,
    warm_up_s=0.2,
    duration_s=1.0,
    open_s=1.0,
    starts=1,
    idle=200,
    active=40,
    crowd_s=1.0,
    limit_s=180.0,
)


def left(done: Sequence[float], rounds: int) -> float:
    """Seconds that the rounds not yet done will take, from how long the done ones took."""
    return (rounds - len(done)) * sum(done) / len(done) if done else 0.0
