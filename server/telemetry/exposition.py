"""Metric families as text: Prometheus' format 0.0.4 and OpenMetrics 1.0.0. Pure.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rapide.server.telemetry.metrics import MetricSpec

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram: ``counts`` per bin (not cumulative), one more than ``edges``; the last has no upper edge."""

    edges: Sequence[float]
    counts: Sequence[int]
    total: float
    """Sum of the observed values."""


@dataclass(slots=True)
class Family:
    """All samples of one metric, keyed by their label values in the order of ``spec.labels``."""

    spec: MetricSpec
    samples: dict[tuple[str, ...], float | Histogram] = field(default_factory=dict)


def negotiate(accept: str) -> str:
    """The content type to answer with: OpenMetrics if the header ``Accept`` prefers it, else Prometheus' text."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        weights[media] = _weight(weight)
    plain = max(weights.get(media, 0.0) for media in ("text/plain", "text/*", "*/*"))
    wanted = weights.get("application/openmetrics-text", 0.0)
    return OPENMETRICS if wanted > 0 and wanted >= plain else PROMETHEUS


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def render(families: Iterable[Family], content_type: str = PROMETHEUS) -> bytes:
    """The page. Families without samples are left out."""
    open_metrics = content_type == OPENMETRICS
    lines: list[str] = []
    for family in families:
        if family.samples:
            lines += _head(family.spec, open_metrics)
            for values, value in family.samples.items():
                lines += _samples(family.spec, values, value)
    if open_metrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _head(spec: MetricSpec, open_metrics: bool) -> list[str]:
    name, kind = spec.name, spec.kind
    if not open_metrics:
        kind = "gauge" if kind == "info" else kind
    elif kind == "counter":
        # OpenMetrics insists on _total; Triton's names have none, so there they are of unknown type.
        name, kind = (name.removesuffix("_total"), kind) if name.endswith("_total") else (name, "unknown")
    elif kind == "info":
        name = name.removesuffix("_info")
    text = spec.help.translate(_LABEL_ESCAPES if open_metrics else _HELP_ESCAPES)
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _samples(spec: MetricSpec, values: tuple[str, ...], value: float | Histogram) -> list[str]:
    labels = ",".join(
        f'{name}="{text.translate(_LABEL_ESCAPES)}"' for name, text in zip(spec.labels, values, strict=True)
    )
    if not isinstance(value, Histogram):
        return [f"{spec.name}{{{labels}}} {number(value)}" if labels else f"{spec.name} {number(value)}"]
    prefix = f"{labels}," if labels else ""
    lines = []
    count = 0
    for edge, more in zip([*value.edges, float("inf")], value.counts, strict=True):
        count += more
        lines.append(f'{spec.name}_bucket{{{prefix}le="{number(edge, as_float=True)}"}} {count}')
    braces = f"{{{labels}}}" if labels else ""
    return [*lines, f"{spec.name}_sum{braces} {number(value.total)}", f"{spec.name}_count{braces} {count}"]


def number(value: float, *, as_float: bool = False) -> str:
    """A value as both formats take it; whole numbers without a point unless ``as_float`` (bucket edges)."""
    if value != value:  # noqa: PLR0124 - NaN is the number that differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if not as_float and value == int(value) else repr(float(value))


def regroup(counts: Sequence[int], shown: Sequence[int]) -> list[int]:
    """Counts of fine bins added up to the coarse bins whose upper edges are the fine edges at places ``shown``."""
    coarse, start = [], 0
    for place in shown:
        coarse.append(sum(counts[start : place + 1]))
        start = place + 1
    return [*coarse, sum(counts[start:])]
