"""What is planned to be served, in the words that people use for it (``car-price: version 2, 3; stable=2``)."""

from __future__ import annotations

from collections.abc import Iterator

from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.plan import PlannedModel, ServingPlan


def describe_label(label: str, target: LabelTarget) -> str:
    """As ``rapide label`` takes it: ``stable=2``, ``canary=3:10%``."""
    weight = "" if target.weight_percent is None else f":{target.weight_percent:g}%"
    return f"{label}={target.version}{weight}"


def describe_labels(model: PlannedModel) -> list[str]:
    return [describe_label(label, target) for label, target in sorted(model.labels.items())]


def describe_changes(before: ServingPlan, after: ServingPlan) -> Iterator[str]:
    """One line for every model that is served differently ``after``."""
    was, now = ({model.name: _summary(model) for model in plan.models} for plan in (before, after))
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield f"{name}: {now.get(name, 'unloaded')} (before: {was.get(name, 'not loaded')})"


def _summary(model: PlannedModel) -> str:
    versions = ", ".join(str(version.version) for version in model.versions)
    return "; ".join([f"version {versions}", *describe_labels(model)])
