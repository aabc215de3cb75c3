"""The metric table is the only place that names metrics: documentation, dashboard and alerts agree with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rapide.server.telemetry.metrics import METRICS
from rapide.server.telemetry.reference import render

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"
LABELS = {sample: set(spec.labels) | {"le"} for spec in METRICS for sample in spec.samples}


def test_the_reference_page_is_up_to_date() -> None:
    page = ROOT / "docs" / "reference" / "metrics.md"
    assert page.read_text() == render(), (
        "run: python -m rapide.server.telemetry.reference > docs/reference/metrics.md"
    )


def test_names_and_families_are_unique() -> None:
    """OpenMetrics calls a counter's family by its name without _total: it must not meet a gauge of that name."""
    families = [spec.name.removesuffix("_total").removesuffix("_info") for spec in METRICS]
    assert len(set(families)) == len(families)


def alert_expressions() -> Iterator[str]:
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"]
            assert rule["labels"]["severity"] in ("page", "ticket")
            yield rule["expr"]


def dashboard_expressions() -> Iterator[str]:
    board = json.loads(DASHBOARD.read_text())
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


@pytest.mark.parametrize("expression", [*alert_expressions(), *dashboard_expressions()])
def test_every_expression_names_metrics_and_labels_that_exist(expression: str) -> None:
    names = re.findall(r"\b(?:rapide|nv)_[a-z_]+", expression)
    assert names
    assert set(names) <= LABELS.keys()
    known = set().union(*(LABELS[name] for name in names))
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= known
    for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)(?:=~|!=|=|!~)", selector)) <= LABELS[name]


def test_panels_lie_side_by_side() -> None:
    board = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
