"""The names of the metrics in ``quality.py``, for commands that must not wait for numpy."""

from __future__ import annotations

from rapide.converters.errors import ConversionError

METRIC_NAMES = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "roc_auc",
    "log_loss",
    "r2",
    "mae",
    "rmse",
    "max_error",
)


def check_metric(metric: str, target: str) -> None:
    """Raises ConversionError for an unknown metric, or one without anything to compare with."""
    if metric and metric not in METRIC_NAMES:
        raise ConversionError(f"--metric {metric[:40]!r} is unknown", hint=f"Known: {', '.join(METRIC_NAMES)}.")
    if metric and not target:
        raise ConversionError("--metric needs --target: the sample's column that holds the true answers")
