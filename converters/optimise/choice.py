"""Which variants are kept, which one becomes the default, and why not the others. Pure policy.

Near enough: no loss that decides is above its limit. With true answers the metrics decide, otherwise what fits
each output; labels and numbers of the same graph are both asked.

Faster where it matters: at some size that matters its time, divided by the original's, is at most ``_FASTER`` in
the middle of all rounds, and below 1 in three quarters of them. A variant that another kept one beats or equals at
every size, with no more loss, is not kept: nobody would choose it.

The default must serve everybody: it is the kept variant with the least time over all sizes that matter (the
weighted geometric mean of the ratios), among those that are slower than the original at none of them. If there
is none, the original stays the default and the others are for tuning to choose.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapide.converters.optimise.measures import METRIC
from rapide.converters.optimise.recipes import ORIGINAL

_FASTER = 0.95
"""A twentieth less time: below that, another day's measurement may say otherwise."""
_SLOWER = 1.03
_ALIKE = 1.03
_MATTERS = 0.05
"""A size with a smaller share of the weight is not held against a default."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A variant that was made, loaded and timed. ``ratios``: rows → time against the original's, as quarter,
    middle and three quarters of all rounds. ``losses``: (measure, output, loss)."""

    name: str
    losses: tuple[tuple[str, str, float], ...]
    ratios: Mapping[int, tuple[float, float, float]]
    is_exact: bool = False

    @property
    def worst_loss(self) -> float:
        return 0.0 if self.is_exact else max((loss for _, _, loss in self.losses), default=0.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason``: why it was kept or not, in words."""

    name: str
    is_kept: bool
    is_default: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "kept": self.is_kept, "default": self.is_default, "reason": self.reason}


def too_far(losses: Collection[tuple[str, str, float]], limits: Mapping[str, float]) -> str:
    """What is over its limit, in words; empty if nothing that decides is."""
    with_truth = any(measure == METRIC for measure, _, _ in losses)
    over = [
        f"{output} loses {loss:.2g} ({measure}; limit {limits[measure]:g})"
        for measure, output, loss in losses
        if loss > limits[measure] and (measure == METRIC or not with_truth)
    ]
    return "; ".join(over)


def decide(
    contenders: Sequence[Contender],
    weights: Mapping[int, float],
    limits: Mapping[str, float],
    keep: Collection[str] = (),
) -> list[Verdict]:
    """One verdict for each, in the order given. The original is one of ``contenders``."""
    original = next(each for each in contenders if each.name == ORIGINAL)
    reasons = {each.name: _why_not(each, weights, limits, keep) for each in contenders if each is not original}
    kept: list[Contender] = []
    for each in sorted(
        (each for each in contenders if each is not original), key=lambda each: gain(each, weights)
    ):
        if reasons[each.name]:
            continue
        better = next((other for other in kept if each.name not in keep and _beats(other, each)), None)
        if better is None:
            kept.append(each)
        else:
            reasons[each.name] = f"{better.name} is as fast at every size and no less exact"
    if not kept:
        return [
            Verdict(each.name, each is original, each is original, _told(each, weights, reasons))
            for each in contenders
        ]
    default = next((each for each in kept if _serves_all(each, weights)), original)
    keeps_original = default is original or not any(each.is_exact and _beats(each, original) for each in kept)
    return [
        Verdict(
            each.name,
            each in kept or (each is original and keeps_original),
            each is default,
            _told(each, weights, reasons)
            if each is not original or keeps_original
            else "a kept variant answers the same and is as fast",
        )
        for each in contenders
    ]


def gain(contender: Contender, weights: Mapping[int, float]) -> float:
    """Time against the original's over all sizes that matter: the weighted geometric mean; below 1 is faster."""
    shares = _shares(contender, weights)
    return math.exp(sum(share * math.log(contender.ratios[rows][1]) for rows, share in shares.items()))


def _shares(contender: Contender, weights: Mapping[int, float]) -> dict[int, float]:
    given = {rows: weights.get(rows, 1.0) for rows in contender.ratios}
    total = sum(given.values())
    return {rows: weight / total for rows, weight in given.items()}


def _why_not(
    contender: Contender, weights: Mapping[int, float], limits: Mapping[str, float], keep: Collection[str]
) -> str:
    far = too_far(contender.losses, limits)
    if far:
        return f"too far from the original: {far}"
    if contender.name in keep:
        return ""
    shares = _shares(contender, weights)
    faster = [
        rows
        for rows, (_, middle, upper) in contender.ratios.items()
        if shares[rows] >= _MATTERS and middle <= _FASTER and upper < 1.0
    ]
    return "" if faster else f"not faster: {_times(contender)}"


def _beats(one: Contender, other: Contender) -> bool:
    return one.worst_loss <= other.worst_loss and all(
        one.ratios[rows][1] <= other.ratios[rows][1] * _ALIKE for rows in one.ratios
    )


def _serves_all(contender: Contender, weights: Mapping[int, float]) -> bool:
    shares = _shares(contender, weights)
    slower = any(shares[rows] >= _MATTERS and ratio[0] > _SLOWER for rows, ratio in contender.ratios.items())
    return not slower and gain(contender, weights) <= _FASTER


def _told(contender: Contender, weights: Mapping[int, float], reasons: Mapping[str, str]) -> str:
    if contender.name == ORIGINAL:
        return "what everything is compared with"
    return reasons[contender.name] or f"{1 / gain(contender, weights):.2f}× as fast: {_times(contender)}"


def _times(contender: Contender) -> str:
    return ", ".join(
        f"{1 / ratio[1]:.2f}× at {rows} row{'s' * (rows != 1)}" for rows, ratio in sorted(contender.ratios.items())
    )
