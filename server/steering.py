"""Whether, when and how far a version's limits move while the usage drifts from what they were tuned for. Pure.

Theory. A tuning holds for the usage that it was proven under. Two drifts can be met without measuring anew,
within the range that was proven: more rows a second want larger batches, which cost less per row; and more
fluctuation wants a longer queue, for a burst to wait in rather than be refused. Everything else (another mix,
slower rows, less load) asks for no move, or for a new tuning. So

    wanted batch cap = tuned cap × how many times more rows a second   (not less than the tuned cap)
    wanted queue     = tuned queue × √((1 + live burstiness²) / (1 + tuned burstiness²))     (not less)

each only if that figure has drifted (``telemetry.drift``), each within its range; and the tuned values where
nothing has. (1 + burstiness² is the mean square of the load by the square of its mean.)

Caution. A knob moves only when ``PATIENCE`` windows in a row asked for the same direction, then by the least
that any of them asked, at most to twice or half its value; never within ``hold_s`` of any move of either knob,
never back within twice that. Windows with too few requests say nothing and break the row.

Invariants: limits never leave their ranges; moves are at least ``hold_s`` apart, a knob's reversals 2 ·
``hold_s``; every move has a reason in words. A tuning whose limits in force lie outside their range, because a
setting overrides it, is left alone.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rapide.server.proven import Range

PATIENCE: Final = 3
"""Windows that must agree: chance exceeds its noise floor once in a hundred, three times once in a million."""
_LARGEST_STEP: Final = 2.0
_SMALLEST_STEP: Final = 1.1
"""A smaller change is not worth telling anybody."""


class Knob(enum.StrEnum):
    """What may move: the names of the settings."""

    BATCH = "max_batch_rows"
    QUEUE = "max_queue_rows"


@dataclass(frozen=True, slots=True)
class Observed:
    """What one window said."""

    is_known: bool
    """Whether there were enough requests."""
    load: float = 1.0
    """Rows a second by those that were tuned for; 1 unless rate or rows have drifted."""
    unrest: float = 1.0
    """√((1 + live burstiness²) / (1 + tuned burstiness²)); 1 unless burstiness has drifted."""


@dataclass(frozen=True, slots=True)
class Move:
    """One limit, before and after, and why."""

    knob: Knob
    before: int
    after: int
    reason: str


class Steering:
    """The limits of one version in force, and what is known of the last windows."""

    def __init__(self, tuned: Mapping[Knob, int], ranges: Mapping[Knob, Range], hold_s: float) -> None:
        """``tuned``: what was tuned and is in force; ``ranges``: what was proven."""
        self._tuned = dict(tuned)
        self._ranges = dict(ranges)
        self._hold_s = hold_s
        self._wanted: dict[Knob, list[int]] = {knob: [] for knob in Knob}
        self._last_s = -math.inf
        self._moved: dict[Knob, tuple[float, bool]] = {}
        self.limits = dict(tuned)

    @property
    def is_free(self) -> bool:
        """Whether the limits in force lie within what was proven: else nothing ever moves."""
        return all(least <= self._tuned[knob] <= most for knob, (least, most) in self._ranges.items())

    def observe(self, now_s: float, seen: Observed) -> Move | None:
        """Takes a window that ended at ``now_s``; gives the move to be made, which is in ``limits`` already."""
        if not self.is_free:
            return None
        for knob, wanted in self._wanted.items():
            if seen.is_known:
                wanted.append(self._target(knob, seen))
                del wanted[:-PATIENCE]
            else:
                wanted.clear()
        if now_s - self._last_s < self._hold_s:
            return None
        for knob in Knob:
            after = self._step(knob)
            if after is not None and self._may(knob, now_s, is_up=after > self.limits[knob]):
                return self._move(knob, after, now_s, seen)
        return None

    def _target(self, knob: Knob, seen: Observed) -> int:
        factor = seen.load if knob is Knob.BATCH else seen.unrest
        least, most = self._ranges[knob]
        wanted = self._tuned[knob] * max(1.0, factor)
        return max(least, min(most, int(min(wanted, float(most)))))

    def _step(self, knob: Knob) -> int | None:
        """Where ``knob`` may go now; None where the windows do not agree, or it is there."""
        wanted, here = self._wanted[knob], self.limits[knob]
        if len(wanted) < PATIENCE or not (min(wanted) > here or max(wanted) < here):
            return None
        nearest = min(wanted, key=lambda one: abs(one - here))
        within = max(math.ceil(here / _LARGEST_STEP), min(int(here * _LARGEST_STEP), nearest))
        is_home = within == self._tuned[knob]
        if not is_home and max(within, here) < _SMALLEST_STEP * min(within, here):
            return None
        return within

    def _may(self, knob: Knob, now_s: float, *, is_up: bool) -> bool:
        moved_s, was_up = self._moved.get(knob, (-math.inf, is_up))
        return is_up == was_up or now_s - moved_s >= 2 * self._hold_s

    def _move(self, knob: Knob, after: int, now_s: float, seen: Observed) -> Move:
        before = self.limits[knob]
        self.limits[knob] = after
        self._last_s = now_s
        self._moved[knob] = (now_s, after > before)
        self._wanted[knob].clear()
        return Move(knob, before, after, _reason(knob, seen, is_up=after > before))


def _reason(knob: Knob, seen: Observed, *, is_up: bool) -> str:
    if not is_up:
        return "the usage is nearer to what was tuned for"
    if knob is Knob.BATCH:
        return f"{seen.load:.2f} times the rows a second that were tuned for"
    return f"{seen.unrest:.2f} times the unrest that was tuned for"
