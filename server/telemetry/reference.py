"""docs/reference/metrics.md, made from the metric table: ``python -m rapide.server.telemetry.reference``."""

from __future__ import annotations

from itertools import groupby

from rapide.server.telemetry import bins
from rapide.server.telemetry.exposition import number
from rapide.server.telemetry.metrics import METRICS, MetricSpec
from rapide.server.telemetry.vocabulary import CODES

_INTRODUCTION = """\
<!-- Made by `python -m rapide.server.telemetry.reference`; edit server/telemetry/metrics.py instead. -->

# Metrics

`GET /metrics` on the metrics port (8002) shows the figures of all workers together, whichever of them answers, in
Prometheus' text format, or as OpenMetrics if the reader asks for it. Counters go on when a worker is replaced and
start from zero when the server does (unless `state_dir` names a folder: they live as long as it does, and the
machine runs).

`model` and `version` are names in the repository, `label` is one of a version's labels (empty if the version was
reached without one), `protocol` is grpc, http or other. No label takes its value from what a caller sends: a flood
of wrong model names makes no new series.

Prometheus: `deploy/prometheus/alerts.yml` has alert rules, `deploy/grafana/dashboard.json` a dashboard.
"""

_END = """\
`rapide_batch_rows` has the buckets {rows}.

All durations have the buckets (seconds) {durations}.

`code` is one of {codes}.
"""


def render() -> str:
    """The page, in Markdown."""
    parts = [_INTRODUCTION]
    for group, specs in groupby(METRICS, key=lambda spec: spec.group):
        rows = "\n".join(_row(spec) for spec in specs)
        parts.append(f"## {group}\n\n| name | kind | labels | what |\n|---|---|---|---|\n{rows}\n")
    end = _END.format(
        rows=", ".join(number(edge) for edge in bins.ROW_SHOWN),
        durations=", ".join(f"{edge:g}" for edge in bins.DURATION_SHOWN_S),
        codes=", ".join(f"`{code}`" for code in CODES),
    )
    return "\n".join([*parts, f"## Buckets and codes\n\n{end}"])


def _row(spec: MetricSpec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels)
    return f"| `{spec.name}` | {spec.kind} | {labels} | {spec.help} |"


if __name__ == "__main__":
    print(render(), end="")
