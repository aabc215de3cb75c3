"""Whatever the values, Prometheus can read the page: its own parser is the judge."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from rapide.server.telemetry.exposition import (
    OPENMETRICS,
    PROMETHEUS,
    Family,
    Histogram,
    negotiate,
    number,
    regroup,
    render,
)
from rapide.server.telemetry.metrics import MetricSpec

COUNTER = MetricSpec("things_total", "counter", ("kind", "place"), 'Things, "counted"\\\n twice.', "Things")
HISTOGRAM = MetricSpec("weight_grams", "histogram", ("kind",), "Weights.", "Things")
GAUGE = MetricSpec("level", "gauge", (), "Level.", "Things")
INFO = MetricSpec("build_info", "info", ("version",), "Build.", "Things")
FOREIGN = MetricSpec("nv_things", "counter", ("kind",), "A counter whose name lacks _total.", "Things")


def page() -> list[Family]:
    return [
        Family(COUNTER, {("a", "here"): 3.0, ("b", 'th"er\\e\n'): 2**53}),
        Family(HISTOGRAM, {("a",): Histogram((0.5, 1.0, 2.5), (1, 0, 2, 4), 12.25)}),
        Family(GAUGE, {(): -1.5}),
        Family(INFO, {("1.0",): 1}),
        Family(FOREIGN, {("a",): 7}),
        Family(MetricSpec("empty_total", "counter", (), "No samples.", "Things")),
    ]


def test_the_page_as_people_read_it() -> None:
    assert render(page()).decode() == (
        '# HELP things_total Things, "counted"\\\\\\n twice.\n'
        "# TYPE things_total counter\n"
        'things_total{kind="a",place="here"} 3\n'
        'things_total{kind="b",place="th\\"er\\\\e\\n"} 9007199254740992\n'
        "# HELP weight_grams Weights.\n"
        "# TYPE weight_grams histogram\n"
        'weight_grams_bucket{kind="a",le="0.5"} 1\n'
        'weight_grams_bucket{kind="a",le="1.0"} 1\n'
        'weight_grams_bucket{kind="a",le="2.5"} 3\n'
        'weight_grams_bucket{kind="a",le="+Inf"} 7\n'
        'weight_grams_sum{kind="a"} 12.25\n'
        'weight_grams_count{kind="a"} 7\n'
        "# HELP level Level.\n"
        "# TYPE level gauge\n"
        "level -1.5\n"
        "# HELP build_info Build.\n"
        "# TYPE build_info gauge\n"
        'build_info{version="1.0"} 1\n'
        "# HELP nv_things A counter whose name lacks _total.\n"
        "# TYPE nv_things counter\n"
        'nv_things{kind="a"} 7\n'
    )


def test_openmetrics_has_its_own_heads_and_end() -> None:
    lines = render(page(), OPENMETRICS).decode().splitlines()
    assert [line for line in lines if line.startswith("# TYPE")] == [
        "# TYPE things counter",
        "# TYPE weight_grams histogram",
        "# TYPE level gauge",
        "# TYPE build info",
        "# TYPE nv_things unknown",
    ]
    assert 'things_total{kind="a",place="here"} 3' in lines
    assert lines[-1] == "# EOF"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)
VALUES = st.floats(allow_nan=True) | st.integers(0, 2**53).map(float)


@given(st.dictionaries(st.tuples(TEXT, TEXT), VALUES, min_size=1, max_size=5))
def test_any_label_and_value_survives_prometheus(samples: dict[tuple[str, str], float]) -> None:
    gauge = MetricSpec("g", "gauge", ("kind", "place"), "Help.", "Things")
    for content_type, parse in ((PROMETHEUS, parse_prometheus), (OPENMETRICS, parse_openmetrics)):
        text = render([Family(gauge, {**samples})], content_type).decode()
        (family,) = parse(text)
        found = {(sample.labels["kind"], sample.labels["place"]): sample.value for sample in family.samples}
        assert found.keys() == samples.keys()
        for key, value in samples.items():
            assert found[key] == value or (math.isnan(value) and math.isnan(found[key]))


@given(
    st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=10, unique=True).map(sorted),
    st.lists(st.integers(0, 1000), min_size=11, max_size=11),
    st.floats(0, 1e9),
)
def test_any_histogram_survives_prometheus(edges: list[float], numbers: list[int], total: float) -> None:
    counts = numbers[: len(edges) + 1]
    for content_type, parse in ((PROMETHEUS, parse_prometheus), (OPENMETRICS, parse_openmetrics)):
        text = render([Family(HISTOGRAM, {("a",): Histogram(edges, counts, total)})], content_type).decode()
        (family,) = parse(text)
        assert family.type == "histogram"
        buckets = {sample.labels["le"]: sample.value for sample in family.samples if "le" in sample.labels}
        assert [float(edge) for edge in buckets] == [*edges, math.inf]
        assert list(buckets.values()) == [sum(counts[: index + 1]) for index in range(len(counts))]
        assert {sample.name: sample.value for sample in family.samples if "le" not in sample.labels} == {
            "weight_grams_sum": total,
            "weight_grams_count": sum(counts),
        }


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", PROMETHEUS),
        ("*/*", PROMETHEUS),
        ("text/plain", PROMETHEUS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", OPENMETRICS),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.9", PROMETHEUS),
        ("application/openmetrics-text;q=0", PROMETHEUS),
        ("application/openmetrics-text;q=nonsense", PROMETHEUS),
        ("text/html, , ;;;q=", PROMETHEUS),
    ],
)
def test_the_format_is_what_the_reader_prefers(accept: str, expected: str) -> None:
    assert negotiate(accept) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3.0, "3"), (0.1, "0.1"), (1e300, str(int(1e300))), (math.inf, "+Inf"), (-math.inf, "-Inf")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@given(st.lists(st.integers(0, 100), min_size=6, max_size=6))
def test_regrouping_keeps_cumulative_counts(counts: list[int]) -> None:
    coarse = regroup(counts, (1, 3))
    assert [sum(coarse[:1]), sum(coarse[:2]), sum(coarse)] == [sum(counts[:2]), sum(counts[:4]), sum(counts)]
