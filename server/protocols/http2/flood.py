"""A token bucket: so many at once, so many a second for ever."""

from __future__ import annotations


class TokenBucket:
    """``take`` is called with the present instant, in seconds of any monotonic clock."""

    __slots__ = ("_at_s", "_burst", "_per_s", "_tokens")

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._tokens = burst
        self._at_s = 0.0

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """Whether one more, which costs so many tokens, is allowed at ``now_s``."""
        if self._tokens < cost:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
            self._at_s = now_s
            if self._tokens < cost:
                return False
        elif self._tokens >= self._burst:
            self._at_s = now_s
        self._tokens -= cost
        return True

    def add(self, tokens: float) -> None:
        """Room for more, earned by useful work; never beyond the burst."""
        self._tokens = min(self._burst, self._tokens + tokens)
