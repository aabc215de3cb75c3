"""The quality gate's question: is the model better than what one could answer without it? Light and pure.

The *baseline* is the simplest model or rule: a constant (the best one, computed from the true answers), a column
of the sample with what the present rule answers, or a known figure. A model that does worse is refused. The
*hurdle* is the figure from which on the model is worth its upkeep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rapide.converters.errors import ConversionError, GateRefused

GATE = "quality"
CONSTANT, NONE = "constant", "none"
_ROUNDING = 1e-6
"""Two figures nearer than this part of their size are equal: a constant model is as good as a constant."""


@dataclass(frozen=True, slots=True)
class Hurdle:
    """``figure`` to reach; with ``beyond_baseline``, how much better than the baseline."""

    figure: float
    beyond_baseline: bool = False

    @classmethod
    def parse(cls, text: str) -> Hurdle | None:
        """``0.9``: that figure. ``+0.05``: that much better than the baseline. Raises ConversionError."""
        if not text:
            return None
        figure = number_in(text)
        if figure is None:
            raise ConversionError(
                f"--hurdle {text[:40]!r} is no number",
                hint="Give a figure such as 0.9, or +0.05 over the baseline.",
            )
        return cls(figure, beyond_baseline=text.startswith("+"))


@dataclass(frozen=True, slots=True)
class QualityVerdict:
    """What was measured and what was asked. ``limit``: the figure to reach, None where nothing was asked.

    ``rule``: what the baseline is, in words.
    """

    metric: str
    figure: float
    higher_is_better: bool
    baseline: float | None
    rule: str
    hurdle: float | None

    @property
    def passed(self) -> bool:
        return not self.fault

    @property
    def fault(self) -> str:
        """Why the model may not be published, with figure and limit; empty if it may."""
        if self.baseline is not None and self._worse_than(self.baseline):
            return (
                f"{self.metric} is {self.figure:.4g}, worse than {self.baseline:.4g} of the baseline ({self.rule})"
            )
        if self.hurdle is not None and self._worse_than(self.hurdle):
            return f"{self.metric} is {self.figure:.4g}; the hurdle is {self.hurdle:.4g}"
        return ""

    def _worse_than(self, limit: float) -> bool:
        if not math.isfinite(self.figure):
            return True
        slack = _ROUNDING * max(1.0, abs(limit))
        return self.figure < limit - slack if self.higher_is_better else self.figure > limit + slack

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "figure": self.figure if math.isfinite(self.figure) else None,
            "higher_is_better": self.higher_is_better,
            "baseline": self.baseline,
            "rule": self.rule,
            "hurdle": self.hurdle,
            "passed": self.passed,
        }


def reach(hurdle: Hurdle | None, baseline: float | None, *, higher_is_better: bool) -> float | None:
    """The figure that ``hurdle`` means. Raises ConversionError where it counts from a baseline that is missing."""
    if hurdle is None or not hurdle.beyond_baseline:
        return None if hurdle is None else hurdle.figure
    if baseline is None:
        raise ConversionError("--hurdle +… counts from the baseline, but there is none (--baseline none)")
    return baseline + hurdle.figure if higher_is_better else baseline - hurdle.figure


def refusal(fault: str) -> GateRefused:
    """The error for a model with this ``fault``."""
    return GateRefused(
        GATE,
        f"the model is not good enough: {fault}. Nothing was published.",
        hint="Train a better one; or, where being worse is meant (a walking skeleton), say --baseline none "
        "and leave --hurdle out.",
    )


def check_bar(baseline: str, hurdle: str, metric: str, target: str) -> None:
    """Raises ConversionError for options that contradict each other, before anything is opened."""
    Hurdle.parse(hurdle)
    if hurdle and not metric:
        raise ConversionError("--hurdle needs --metric: the figure that must reach it")
    asks = baseline not in (CONSTANT, NONE)
    if asks and not target:
        raise ConversionError("--baseline needs --target: the sample's column that holds the true answers")
    if asks and number_in(baseline) is not None and not metric:
        raise ConversionError(f"--baseline {baseline[:40]} needs --metric: which figure that is")


def number_in(text: str) -> float | None:
    """The finite number in ``text``, if it is one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
