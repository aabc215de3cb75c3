"""What somebody asks to be converted, as one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rapide.converters.columns import Precision
from rapide.converters.limits import Limits
from rapide.converters.optimise.measures import DEFAULT_LIMITS

PrecisionChoice = Precision | Literal["auto"]


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """``rapide convert``'s options; docs/guides/convert.md says more about each."""

    model: Path
    sample: Path | None
    """Real rows; None where the source does without."""
    repository: Path
    name: str
    constant: str = ""
    """What to answer to every row, in place of a model."""
    target: str = ""
    metric: str = ""
    baseline: str = "constant"
    """What the model must not be worse than: constant, none, a figure, or a column of the sample."""
    hurdle: str = ""
    """The figure to reach, or (+0.05) how much better than the baseline."""
    profile: Path | None = None
    """What ``GET /profile`` of a server gave: the model is timed at its sizes too."""
    max_latency_us: float | None = None
    """Largest median time of one row, on this machine; None: only measured."""
    classes: tuple[str, ...] = ()
    description: str = ""
    label: str = ""
    precision: PrecisionChoice = "auto"
    max_difference: float = 1e-4
    """Relative to the answer plus its spread (``parity.py``). float32 has seven digits, and sums lose some."""
    max_flips: int = 0
    """Labels that may differ, over all probe rows."""
    parent: int | None = None
    optimise: bool = False
    """Whether to make variants of what was published, judged on the sample's rows (``optimise/``)."""
    max_loss: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    """For these variants: measure → the greatest loss that is accepted."""
    data_origin: str = ""
    """Where the training data came from, in the trainer's words: for the lineage."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """What is known of where the model came from (an MLflow run), for the lineage; whoever fetches it says so."""
    limits: Limits = field(default_factory=Limits)
